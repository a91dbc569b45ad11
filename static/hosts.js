// Part of consent.js, in which `told` is the state of one visitor. A page that is the same for everybody was looked at
// by no server: what its author marked with one purpose may belong to a vendor of another one, and needs both.
// The most specific host that is listed decides, and one that an allowed vendor lists as well passes.
told.closed = (held, allowed) => {
  const place = document.createElement("a");
  const hosts = new Map(told.hosts);
  const denied = (address) => {
    place.href = address;
    const port = ":" + (place.port || { "http:": 80, "https:": 443 }[place.protocol]);
    const labels = place.hostname.replace(/\.$/, "").split(".");
    const names = labels.map((_, at) => (at ? "*." : "") + labels.slice(at).join("."));
    const found = names.flatMap((name) => [name + port, name]).find((name) => hosts.has(name));
    return Boolean(found) && !hosts.get(found).some((purpose) => allowed?.has(purpose));
  };
  const leads = /^(data-(consent-)?)?(src|srcset|href|poster|data)$/;
  return [...held.attributes].some(
    ({ name, value }) => leads.test(name) && [value, ...value.split(/[\s,]+/)].some(denied),
  );
};
