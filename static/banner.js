// What makes the banner nicer where scripts run; without it every form and link works by itself.
// window.consent.allows("analytics")  whether a purpose is allowed, as far as known now; false until it is known
// window.consent.state()              a promise of the state (GET state), fetched once, when first asked
// window.consent.choose({all: false}) sends a choice (POST choice) and resolves to the new state
// "consentchange" on document         after every change, in this tab or another one; event.detail is the state
(() => {
  "use strict";
  const script = document.currentScript;
  if (!script || window.consent) return;
  const prefix = new URL(script.src).pathname.replace(/\/static\/[^/]*$/, "");
  const channel = "BroadcastChannel" in window ? new BroadcastChannel("consent:" + prefix) : null;
  const banner = () => document.getElementById("cmw-banner");
  const known = script.dataset.allows;
  let allowed = known === undefined ? null : new Set(known.split(" "));
  let asked = null;
  let before = null;

  const heard = async (response) => {
    if (!response.ok) throw new Error("consent: " + response.status);
    return response.json();
  };
  const fetchState = () =>
    fetch(prefix + "/state", { headers: { accept: "application/json" }, cache: "no-store" }).then(heard);

  function apply(state) {
    const now = new Set(Object.keys(state.purposes).filter((name) => state.purposes[name].allowed));
    const same = allowed && allowed.size === now.size && [...now].every((name) => allowed.has(name));
    allowed = now;
    asked = Promise.resolve(state);
    if (!state.ask && !state.notice) leave();
    if (!same) document.dispatchEvent(new CustomEvent("consentchange", { bubbles: true, detail: state }));
    return state;
  }

  function state() {
    asked ??= fetchState().then(apply, (error) => {
      asked = null;
      throw error;
    });
    return asked;
  }

  async function choose(choice) {
    const response = await fetch(prefix + "/choice", {
      method: "POST",
      headers: { "content-type": "application/json", accept: "application/json" },
      body: JSON.stringify(choice),
    });
    const changed = apply(await heard(response));
    channel?.postMessage(changed);
    return changed;
  }

  // The banner goes; the keyboard goes back to where it was, or to the start of the content.
  function leave() {
    const gone = banner();
    if (!gone) return;
    const inside = gone.contains(document.activeElement);
    const said = document.createElement("p");
    said.className = "cmw-unseen";
    said.setAttribute("role", "status");
    document.body.append(said);
    setTimeout(() => (said.textContent = gone.dataset.saved), 100);
    setTimeout(() => said.remove(), 5000);
    gone.remove();
    if (!inside) return;
    const target = before?.isConnected ? before : document.querySelector("main, [role=main], h1") || document.body;
    const given = target !== before && !target.hasAttribute("tabindex");
    if (given) {
      target.tabIndex = -1;
      target.addEventListener("blur", () => target.removeAttribute("tabindex"), { once: true });
    }
    target.focus({ preventScroll: true });
  }

  function submitted(event) {
    const form = event.target;
    const button = event.submitter;
    if (!button || !form.closest("#cmw-banner")) return;
    const choice = button.name === "seen" ? { seen: true } : { all: button.value === "accept" };
    event.preventDefault();
    choose(choice).catch(() => {
      form.removeEventListener("submit", submitted);
      form.requestSubmit(button);
    });
  }

  window.consent = {
    allows(purpose) {
      if (!allowed) state().catch(() => {});
      return Boolean(allowed && allowed.has(purpose));
    },
    state,
    choose,
  };

  banner()?.querySelector("form").addEventListener("submit", submitted);
  document.addEventListener("focusin", (event) => {
    if (!event.target.closest("#cmw-banner")) before = event.target;
  });
  if (channel) channel.onmessage = (event) => apply(event.data);
  addEventListener("pageshow", (event) => {
    if (event.persisted) fetchState().then(apply, () => {});
  });
  if ("saved" in script.dataset) {
    fetchState().then((now) => channel?.postMessage(apply(now)), () => {});
  }
})();
