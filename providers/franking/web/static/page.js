// What is nicer with a script; without it everything works too. Nothing is kept here, and nobody else is asked.
"use strict";
(() => {
  const form = document.querySelector("form[data-running]");
  if (!form) return;
  const at = (selector) => document.querySelector(selector);
  const here = () => form.getAttribute("action"); // form.action is the button of that name
  const parsed = (html) => new DOMParser().parseFromString(html, "text/html").body;

  // A port that is empty, or another security's usual one, goes with the security; an own one stays.
  const ports = { tls: "465", starttls: "587", none: "25" };
  const security = at("#security"), port = at("#port");
  security.addEventListener("change", () => {
    const now = port.value.trim();
    if (!port.disabled && (!now || Object.values(ports).includes(now))) port.value = ports[security.value];
  });

  // The recommendation follows what is typed; nothing is taken over by itself.
  const beside = (name, place) => async () => {
    const query = new URLSearchParams(here().split("?")[1] || "");
    for (const key of ["from", "host", "port", "security", "username"]) query.set(key, at("#" + key).value);
    query.set("provider", form.querySelector("[name=provider]:checked").value);
    const answer = await fetch(name + "?" + query).catch(() => null);
    if (answer && answer.ok) {
      const now = parsed(await answer.text()).innerHTML.trim();
      if (place.innerHTML.trim() !== now) place.innerHTML = now;
      const ask = at(".ask-advice");
      if (ask) ask.hidden = now !== "";
    }
  };
  const advise = beside("recommendation", at("#recommendation"));
  for (const id of ["#from", "#host"]) at(id).addEventListener("change", advise);
  for (const radio of form.querySelectorAll("[name=provider]")) radio.addEventListener("change", advise);

  // A sign-in that is under way is looked after, and so is the server: it ends when no page is open any more.
  const watch = async () => {
    const box = at("#sign-in");
    if (!box || !box.querySelector("[data-waiting]")) return;
    const query = here().split("?")[1] || "";
    const answer = await fetch("signin?" + query).catch(() => null);
    if (!answer || !answer.ok) return;
    const now = parsed(await answer.text());
    if (!now.querySelector("[data-waiting] #pasted") && !box.contains(document.activeElement)) box.innerHTML = now.innerHTML;
    else if (!now.querySelector("[data-waiting]")) box.innerHTML = now.innerHTML;
  };
  setInterval(watch, 2000);
  const alive = Number(form.dataset.alive) * 1000;
  if (alive) setInterval(() => fetch("status.json").catch(() => null), alive);

  // What was said at a field is not true any more once somebody types there.
  const forgive = (place) => {
    for (const one of place.querySelectorAll(".error, main > [data-form-errors]")) one.remove();
    for (const one of place.querySelectorAll("[aria-invalid]")) one.removeAttribute("aria-invalid");
  };
  form.addEventListener("input", (event) => {
    const field = event.target.closest(".field, .check");
    if (field) forgive(field);
  });

  // The test is told as it goes, and the form stays as it is.
  let busy = false, plainly = false;
  form.addEventListener("submit", async (event) => {
    const button = event.submitter;
    if (plainly || !button || button.value !== "test") return;
    event.preventDefault();
    if (busy) return;
    busy = true;
    const result = at("#result");
    const running = at("#running");
    if (running) running.remove();
    for (const name of ["data-outcome", "data-colour", "data-code"]) result.removeAttribute(name);
    result.setAttribute("aria-busy", "true");
    const heading = document.createElement("h2");
    heading.textContent = form.dataset.running;
    const steps = document.createElement("ol");
    steps.className = "steps";
    result.replaceChildren(heading, steps);
    try {
      await told(result, steps, button);
    } catch {
      busy = false;
      plainly = true;
      form.requestSubmit(button); // whatever it was: the page says it
      return;
    }
    busy = false;
  });

  const told = async (result, steps, button) => {
    const data = new FormData(form);
    data.set("action", "test");
    data.delete("client_file");
    const answer = await fetch(here(), { method: "POST", body: data, headers: { "X-Franking": "steps" } });
    if (!answer.ok || !answer.body) throw new Error(answer.status);
    forgive(document); // what was wrong before is right now
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let waiting = "", ended = false;
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      waiting += value;
      const lines = waiting.split("\n");
      waiting = lines.pop();
      for (const line of lines) ended = line_of(line, result, steps) || ended;
    }
    if (!ended) throw new Error("cut off");
  };

  const line_of = (html, result, steps) => {
    const element = parsed(html).firstElementChild;
    if (!element) return false;
    if (element.matches("[name=once]")) {
      form.querySelector("[name=once]").value = element.value;
    } else if (element.matches("li")) {
      const last = steps.lastElementChild;
      if (last && last.dataset.step === element.dataset.step && last.dataset.status === "running") last.replaceWith(element);
      else steps.append(element);
    } else if (element.matches("#result")) {
      result.replaceChildren(...element.childNodes);
      for (const name of ["data-outcome", "data-colour", "data-code"])
        if (element.hasAttribute(name)) result.setAttribute(name, element.getAttribute(name));
      result.removeAttribute("aria-busy");
      result.scrollIntoView({ block: "nearest" });
      copying();
      return true;
    }
    return false;
  };

  const copying = () => {
    const button = at("#copy");
    if (!button || !navigator.clipboard) return;
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(at("#support").value);
      button.textContent = button.dataset.done;
    });
  };
  copying();
})();
