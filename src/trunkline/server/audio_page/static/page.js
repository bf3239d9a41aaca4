"use strict";
// One cursor for all sounds: what is heard changes, the place does not. Without it the page
// reads the same, and the browser's own players play.
(() => {
  const byId = (id) => document.getElementById(id);
  const timeline = byId("timeline"), play = byId("play"), now = byId("now"), choice = byId("choice");
  const length = Number(timeline.dataset.duration);
  const buttons = [...choice.querySelectorAll("button")];
  const sounds = new Map(buttons.map((button) => [button.dataset.sound, byId(button.dataset.sound)]));
  let heard = sounds.get("after"), at = 0, frame = 0;

  const clock = (seconds) => {
    const tenths = Math.round(seconds * 10), rest = tenths % 600;
    return `${Math.floor(tenths / 600)}:${String(Math.floor(rest / 10)).padStart(2, "0")}.${rest % 10}`;
  };
  const show = () => {
    const shown = clock(at);
    timeline.style.setProperty("--at", at / length);
    timeline.setAttribute("aria-valuenow", at.toFixed(1));
    if (now.textContent !== shown) { now.textContent = shown; timeline.setAttribute("aria-valuetext", shown); }
  };
  const follow = () => {
    if (!heard.paused) at = Math.min(heard.currentTime, length);
    show();
    frame = heard.paused ? 0 : requestAnimationFrame(follow);
  };
  const seek = (seconds) => { at = Math.max(0, Math.min(seconds, length)); heard.currentTime = at; show(); };
  // Another choice before it began is no error.
  const start = () => heard.play().catch(() => {});
  const toggle = () => {
    if (!heard.paused) { heard.pause(); return; }
    if (at >= length - 0.05) at = 0;
    heard.currentTime = at;
    start();
  };
  const choose = (name) => {
    const playing = !heard.paused;
    heard.pause();
    heard = sounds.get(name);
    heard.currentTime = at;
    buttons.forEach((one) => one.setAttribute("aria-pressed", String(one.dataset.sound === name)));
    if (playing) start();
  };

  document.body.classList.add("seekable");
  for (const one of [play, choice, byId("keys")]) one.hidden = false;
  for (const sound of sounds.values()) {
    sound.parentElement.hidden = true;
    sound.addEventListener("play", () => {
      play.classList.add("playing");
      play.setAttribute("aria-label", "Pause");
      if (!frame) follow();
    });
    sound.addEventListener("pause", () => {
      if (sound !== heard) return;
      play.classList.remove("playing");
      play.setAttribute("aria-label", "Play");
    });
    sound.addEventListener("ended", () => { if (sound === heard) { at = length; show(); } });
  }
  play.addEventListener("click", toggle);
  choice.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) choose(button.dataset.sound);
  });
  const seekTo = (event) => {
    const box = timeline.getBoundingClientRect();
    seek((event.clientX - box.left) / box.width * length);
  };
  timeline.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    timeline.setPointerCapture(event.pointerId);
    seekTo(event);
  });
  timeline.addEventListener("pointermove", (event) => {
    if (timeline.hasPointerCapture(event.pointerId)) seekTo(event);
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const step = event.shiftKey ? 5 : 1;
    const keys = {
      ArrowLeft: () => seek(at - step), ArrowRight: () => seek(at + step),
      Home: () => seek(0), End: () => seek(length),
      b: () => choose(heard === sounds.get("before") ? "after" : "before"),
    };
    if (event.key === " " && !event.target.closest("button")) { event.preventDefault(); toggle(); }
    else if (event.key in keys) { event.preventDefault(); keys[event.key](); }
  });
  show();
})();
