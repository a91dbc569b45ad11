// What makes the banner nicer where scripts run; without it every form and link works by itself.
// window.consent.allows("analytics")  whether a purpose is allowed, as far as known now; false until it is known
// window.consent.state()              a promise of the state (GET state), fetched once, when first asked
// window.consent.choose({all: false}) sends a choice (POST choice) and resolves to the new state
// "consentchange" on document         after every change, in this tab or another one; event.detail is the state
// Elements with data-consent="analytics" come alive once every purpose that they name is allowed: script of
// type="text/plain", and iframe, img and others with data-src. <button data-consent-allow="analytics"> says yes.
(() => {
  "use strict";
  const told = null;
  const script = document.currentScript;
  if (!script || window.consent) return;
  const prefix = told ? told.prefix : new URL(script.src).pathname.replace(/\/static\/[^/]*$/, "");
  const channel = "BroadcastChannel" in window ? new BroadcastChannel("consent:" + prefix) : null;
  const banner = () => document.getElementById("cmw-banner");
  const listed = told ? told.allows : script.dataset.allows?.split(" ");
  let allowed = listed ? new Set(listed) : null;
  let asked = null;
  let before = null;

  const heard = async (response) => {
    if (!response.ok) throw new Error("consent: " + response.status);
    return response.json();
  };
  const fetchState = () =>
    fetch(prefix + "/state", { headers: { accept: "application/json" }, cache: "no-store" }).then(heard);
  const ready = (run) =>
    document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", run) : run();

  function apply(state) {
    const now = new Set(Object.keys(state.purposes).filter((name) => state.purposes[name].allowed));
    const same = allowed && allowed.size === now.size && [...now].every((name) => allowed.has(name));
    allowed = now;
    asked = Promise.resolve(state);
    if (!state.ask && !state.notice) leave(true);
    if (!same) {
      document.dispatchEvent(new CustomEvent("consentchange", { bubbles: true, detail: state }));
      enliven();
    }
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

  // What this page holds back is let go, as far as it is allowed now: `data-src` is what an author wrote,
  // `data-consent-src` what was renamed on the way here. Nothing but sources comes back, and no handler ever.
  function enliven() {
    for (const held of document.querySelectorAll("[data-consent]")) {
      const names = held.dataset.consent.split(/[\s,;]+/).filter(Boolean);
      if (!names.length || !names.every((name) => allowed?.has(name)) || told?.closed(held, allowed)) continue;
      if (held.localName !== "script") revive(held, held);
      // Where the site vouches for its scripts one by one, what it did not vouch for stays as it is.
      else if (held.type === "text/plain" && (!script.nonce || script.nonce === held.nonce)) {
        const live = document.createElement("script");
        for (const { name, value } of held.attributes) {
          if (name !== "type" && !name.startsWith("data-consent")) live.setAttribute(name, value);
        }
        revive(held, live);
        live.nonce = held.nonce;
        live.async = held.hasAttribute("async");
        live.text = held.text;
        held.replaceWith(live);
      }
    }
  }

  function revive(held, live) {
    const place = document.createElement("a");
    for (const { name, value } of [...held.attributes]) {
      const bare = name.replace(/^data-(consent-)?/, "");
      if (bare === name || !/^(src|srcset|href|poster|data|type|sandbox)$/.test(bare)) continue;
      if (/^(src|href|data)$/.test(bare) && !/^https?:$/.test(Object.assign(place, { href: value }).protocol)) continue;
      live.removeAttribute(name);
      live.setAttribute(bare, value);
      if (bare === "src") live.removeAttribute("srcdoc");
    }
    live.removeAttribute("data-consent");
  }

  // The banner goes; the keyboard goes back to where it was, or to the start of the content.
  function leave(saved) {
    const gone = banner();
    if (!gone) return;
    const inside = gone.contains(document.activeElement);
    if (saved) say(gone.dataset.saved, gone.lang);
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

  function say(text, language) {
    const said = document.createElement("p");
    said.className = "cmw-unseen";
    said.lang = language;
    said.setAttribute("role", "status");
    document.body.append(said);
    setTimeout(() => (said.textContent = text), 100);
    setTimeout(() => said.remove(), 5000);
  }

  function submitted(event) {
    const form = event.target;
    const button = event.submitter;
    if (!button) return;
    const boxes = [...form.querySelectorAll("[name=purpose]")];
    const choice = boxes.length
      ? { purposes: Object.fromEntries(boxes.map((one) => [one.value, one.checked])) }
      : button.name === "seen" ? { seen: true } : { all: button.value === "accept" };
    event.preventDefault();
    choose(choice).catch(() => {
      banner()?.removeEventListener("submit", submitted);
      // Later: what a page's policy forbids fails at once, while this submission is still being heard, and no other is.
      setTimeout(() => form.requestSubmit(button));
    });
  }

  // Escape puts the banner away for this page; it is no answer, and the next page asks again.
  function shown() {
    const here = banner();
    if (!here) return;
    here.addEventListener("submit", submitted);
    here.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !event.isComposing) leave(false);
    });
    here.addEventListener("toggle", (event) => event.target.scrollIntoView({ block: "nearest" }), true);
    const room = () => document.documentElement.style.setProperty("--cmw-room", here.offsetHeight + "px");
    "ResizeObserver" in window ? new ResizeObserver(room).observe(here) : room();
  }

  // A page that is the same for everybody gets its banner apart, as a document whose scripts do not run.
  function fetchBanner() {
    const request = new XMLHttpRequest();
    const where = new URLSearchParams({
      return: location.pathname + location.search,
      lang: document.documentElement.lang,
    });
    request.open("GET", prefix + "/banner?" + where);
    request.responseType = "document";
    request.onload = () => {
      const section = request.response?.getElementById("cmw-banner");
      if (!section || banner()) return;
      const styles = [...request.response.querySelectorAll("link[rel=stylesheet]")];
      const loaded = styles.map(
        (style) => new Promise((done) => ["load", "error"].forEach((one) => style.addEventListener(one, done))),
      );
      styles.forEach((style) => (style.nonce = script.nonce));
      section.hidden = true;
      document.body.prepend(...styles, section);
      Promise.all(loaded).then(() => (section.hidden = false));
      shown();
    };
    request.send();
  }

  // Google's Consent Mode, where the policy asks for it: before any tag, and after every change.
  function gtag() {
    (window.dataLayer ??= []).push(arguments);
  }
  const mode = told?.mode;
  const granted = () =>
    Object.fromEntries(Object.entries(mode).map(([type, name]) => [type, allowed?.has(name) ? "granted" : "denied"]));
  if (mode) {
    gtag("consent", "default", { ...granted(), ...told.wait });
    document.addEventListener("consentchange", () => gtag("consent", "update", granted()));
  }

  window.consent = {
    allows(purpose) {
      if (!allowed) state().catch(() => {});
      return Boolean(allowed?.has(purpose));
    },
    state,
    choose,
  };

  ready(() => {
    enliven();
    if (told?.due && !banner()) fetchBanner();
    else shown();
  });
  document.addEventListener("click", (event) => {
    const wanted = event.target.closest?.("button[data-consent-allow]")?.dataset.consentAllow;
    if (!wanted) return;
    event.preventDefault();
    choose({ purposes: Object.fromEntries(wanted.split(" ").map((name) => [name, true])) }).catch(() => {});
  });
  document.addEventListener("focusin", (event) => {
    if (!event.target.closest("#cmw-banner")) before = event.target;
  });
  if (channel) channel.onmessage = (event) => apply(event.data);

  // A page that was put away may be of a time before: where something was taken back since, it is asked for anew.
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    const then = [...(allowed ?? [])];
    fetchState().then((now) => {
      if (then.some((name) => !now.purposes[name]?.allowed)) location.reload();
      else apply(now);
    }, () => {});
  });
  // On another subdomain there may have been an answer that no channel reaches.
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && banner()) fetchState().then(apply, () => {});
  });
  if ("saved" in script.dataset) {
    fetchState().then((now) => channel?.postMessage(apply(now)), () => {});
  }
})();
