"use strict";
// Joins the recording to the waveform and the transcript. Without it the page reads the same,
// and the browser's own player plays.
(() => {
  const byId = (id) => document.getElementById(id);
  const audio = byId("audio"), timeline = byId("timeline");
  if (!audio || !timeline) return;
  const play = byId("play"), now = byId("now"), speed = byId("speed"), sides = byId("sides");
  const length = Number(timeline.dataset.duration);
  const turns = [...document.querySelectorAll(".transcript li")].map((item) => ({
    item, start: Number(item.dataset.start), end: Number(item.dataset.end), number: item.dataset.turn,
    marks: [...document.querySelectorAll(`.block[data-turn="${item.dataset.turn}"], [data-go="${item.dataset.turn}"]`)],
  }));
  let current = null, frame = 0;

  const clock = (seconds) => {
    const tenths = Math.round(seconds * 10), minutes = Math.floor(tenths / 600), rest = tenths % 600;
    const shown = `${String(Math.floor(rest / 10)).padStart(2, "0")}.${rest % 10}`;
    return minutes < 60 ? `${minutes}:${shown}`
      : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${shown}`;
  };

  // The turn that is being spoken; between two, the one that was last.
  const turnAt = (seconds) => turns.reduce((found, turn) =>
    turn.start <= seconds + 0.05 && (!found || turn.start >= found.start) ? turn : found, null);

  const show = () => {
    const seconds = Math.min(audio.currentTime, length), at = clock(seconds);
    timeline.style.setProperty("--at", seconds / length);
    timeline.setAttribute("aria-valuenow", seconds.toFixed(1));
    if (now.textContent !== at) { now.textContent = at; timeline.setAttribute("aria-valuetext", at); }
    const turn = turnAt(seconds);
    if (turn === current) return;
    if (current) {
      current.item.removeAttribute("aria-current");
      current.marks.forEach((mark) => mark.classList.remove("now"));
    }
    current = turn;
    if (!turn) return;
    turn.item.setAttribute("aria-current", "true");
    turn.marks.forEach((mark) => mark.classList.add("now"));
    if (!audio.paused) turn.item.scrollIntoView({ block: "nearest", behavior: calm ? "auto" : "smooth" });
  };
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const follow = () => { show(); frame = audio.paused ? 0 : requestAnimationFrame(follow); };

  const seek = (seconds) => { audio.currentTime = Math.max(0, Math.min(seconds, length - 0.01)); show(); };
  const toggle = () => { if (audio.paused) { mix(); audio.play(); } else audio.pause(); };

  // Each side can be silenced, and neither is in one ear alone.
  const gains = [];
  let context = null;
  const mix = () => {
    if (context) { context.resume(); return; }
    if (!("embedded" in audio.dataset) || !window.AudioContext) return;
    context = new AudioContext();
    const source = context.createMediaElementSource(audio), splitter = context.createChannelSplitter(2);
    source.connect(splitter);
    [-0.35, 0.35].forEach((pan, side) => {
      const gain = context.createGain(), panner = context.createStereoPanner();
      panner.pan.value = pan;
      splitter.connect(gain, side).connect(panner).connect(context.destination);
      gains.push(gain);
    });
    setSides();
    context.resume();
  };
  const setSides = () => sides.querySelectorAll("button").forEach((button) => {
    const gain = gains[Number(button.dataset.side)];
    if (gain) gain.gain.value = button.getAttribute("aria-pressed") === "true" ? 1 : 0;
  });

  document.body.classList.add("seekable");
  audio.removeAttribute("controls");
  audio.hidden = true;
  play.disabled = speed.disabled = false;
  sides.hidden = !("embedded" in audio.dataset) || !window.AudioContext;
  audio.addEventListener("play", () => {
    play.classList.add("playing");
    play.setAttribute("aria-label", "Pause");
    if (!frame) follow();
  });
  audio.addEventListener("pause", () => {
    play.classList.remove("playing");
    play.setAttribute("aria-label", "Play");
  });
  for (const name of ["seeked", "timeupdate", "ended"]) audio.addEventListener(name, show);
  audio.addEventListener("error", () => {
    play.disabled = true;
    now.textContent = "cannot be played";
  });
  play.addEventListener("click", toggle);
  speed.addEventListener("change", () => { audio.playbackRate = Number(speed.value); });
  sides.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
    setSides();
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
  for (const list of document.querySelectorAll(".transcript, .waterfall")) {
    list.addEventListener("click", (event) => {
      const item = event.target.closest("li");
      if (!item || String(getSelection())) return;
      const turn = turns.find((one) => one.number === (item.dataset.turn || item.dataset.go));
      if (turn) { seek(turn.start); if (event.target.closest("button")) { mix(); audio.play(); } }
    });
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest("select, input, summary, a")) return;
    const step = event.shiftKey ? 10 : 2;
    const keys = {
      ArrowLeft: () => seek(audio.currentTime - step), ArrowRight: () => seek(audio.currentTime + step),
      Home: () => seek(0), End: () => seek(length),
    };
    if (event.key === " " && !event.target.closest("button")) { event.preventDefault(); toggle(); }
    else if (event.key in keys) { event.preventDefault(); keys[event.key](); }
  });
  show();
})();
