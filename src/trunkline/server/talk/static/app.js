// The talk page: a call to this node from the microphone, and what can be seen of it.
//
// One WebSocket: binary messages are audio (16-bit little-endian at 8 kHz), text
// messages are JSON with RTVI's names.

import { microphones, Problem, Sound, unsupported } from "./audio.js";
import { Conversation, Waterfall } from "./show.js";

const byId = (id) => document.getElementById(id);
const READY_MS = 10000;
const CLOSED = {
  1001: "The node is shutting down.",
  1006: "The connection was lost.",
  1008: "The node closed the connection: it waited for this page for too long.",
  1009: "The node closed the connection: a message was too long.",
  1011: "Something failed in the node. Its log says what.",
};

const conversation = new Conversation();
const waterfall = new Waterfall();
let call = null;

const handlers = {
  "bot-ready": (_, mine) => mine.ready(),
  "audio-mark": ({ name }, mine) => mine.sound.mark(name),
  "audio-clear": (_, mine) => mine.sound.clear(),
  "user-started-speaking": (data) => conversation.callerStarted(data),
  "user-stopped-speaking": (data) => conversation.callerStopped(data),
  "user-transcription": (data) => conversation.callerSaid(data),
  "bot-started-speaking": (data) => conversation.agentStarted(data),
  "bot-output": (data) => (data.spoken_status === "completed" ? conversation.agentSaid(data) : conversation.agentSaying(data)),
  "llm-function-call-stopped": ({ function_name: name, result }) => conversation.note(`${name}: ${result}`),
  "metrics": (data) => waterfall.add(data),
  "server-message": ({ text }) => { if (text) conversation.note(text); },
  "error": ({ error }) => conversation.note(`Problem: ${error}`),
};

class Call {
  constructor() {
    this.over = false;
    this.sound = new Sound({
      onframe: (pcm) => { if (this.isReady) this.socket.send(pcm); },
      onmark: (name) => { if (this.isReady) this.say("audio-mark-reached", { name }); },
      onlevel: (who, level) => { if (!this.over) showLevel(who, level); },
      onlost: () => this.end("error", "The microphone was disconnected."),
    });
  }

  async start() {
    show("connecting", "Waiting for the microphone");
    await this.sound.open(byId("microphone").value);
    if (this.over) return;
    listMicrophones();
    show("connecting", "Connecting");
    const url = new URL("talk" + location.search, location.href);
    url.protocol = url.protocol.replace("http", "ws");
    url.hash = "";
    if (token()) url.searchParams.set("token", token());
    this.socket = new WebSocket(url);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => this.say("client-ready", { version: "2.1.0", about: { library: "trunkline-talk" } });
    this.socket.onmessage = ({ data }) => this.received(data);
    this.socket.onclose = (event) => this.closed(event);
    this.timer = setTimeout(() => this.end("error", "The node does not answer."), READY_MS);
  }

  received(data) {
    if (typeof data !== "string") {
      this.sound.play(data);
      return;
    }
    const message = JSON.parse(data);
    handlers[message.type]?.(message.data ?? {}, this);
  }

  ready() {
    clearTimeout(this.timer);
    this.isReady = true;
    show("live", "Connected");
  }

  say(type, data) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ label: "rtvi-ai", type, data }));
  }

  closed({ code, reason }) {
    if (this.over) return;
    if (!this.isReady && code === 1006) {
      this.refused();
    } else if (code === 1000) {
      this.end("idle", "", "The agent has hung up");
    } else {
      this.end("error", CLOSED[code] ?? `The connection was closed: ${reason || code}.`);
    }
  }

  // A browser does not say why a WebSocket was not opened: see whether the node is there.
  async refused() {
    const there = await fetch("about.json", { cache: "no-store" }).then((reply) => reply.ok, () => false);
    if (!there) this.end("error", "The node could not be reached. Is it still running?");
    else {
      byId("token-form").hidden = false;
      this.end("error", token() ? "The node does not let this page in: the token is not the right one." : "The node does not let this page in. If it has a token (http.token), give it here.");
      byId("token").focus();
    }
  }

  end(state, problem = "", words = this.isReady ? "The call broke off" : "No call") {
    if (this.over) return;
    this.over = true;
    this.isReady = false;
    clearTimeout(this.timer);
    this.sound.close();
    this.socket?.close(1000);
    if (call === this) call = null;
    show(state, words, problem);
  }
}

function show(state, words, problem = "") {
  byId("state").dataset.state = state;
  byId("state").textContent = words;
  byId("error").hidden = !problem;
  byId("error").textContent = problem;
  const busy = state === "live" || state === "connecting";
  byId("call").textContent = busy ? "Hang up" : "Start talking";
  byId("call").dataset.live = busy;
  byId("mute").disabled = state !== "live";
  byId("microphone").disabled = busy;
  for (const key of byId("keys").children) key.disabled = state !== "live";
  if (!busy) {
    setMuted(false);
    showLevel("you", -60);
    showLevel("agent", -60);
  }
}

function showLevel(who, level) {
  byId(`level-${who}`).value = Math.max(-60, Math.round(level));
}

function setMuted(muted) {
  call?.sound.mute(muted);
  byId("mute").setAttribute("aria-pressed", muted);
}

// Typed in, or after the # of the address, which no server is told.
function token() {
  return byId("token").value || decodeURIComponent(location.hash.slice(1));
}

async function showAbout() {
  const about = await fetch("about.json").then((reply) => (reply.ok ? reply.json() : {}), () => ({}));
  if (about.agent) byId("title").textContent = document.title = `Talk to ${about.agent}`;
  byId("hints").replaceChildren(...(about.hints ?? []).map((hint) => {
    const item = document.createElement("li");
    item.textContent = hint;
    return item;
  }));
  byId("say").hidden = !about.hints?.length;
  byId("phone").textContent = about.phone ?? "";
  byId("by-phone").hidden = !about.phone;
}

async function toggleCall() {
  if (call) {
    call.say("disconnect-bot");
    call.end("idle", "", "The call has ended");
    return;
  }
  conversation.clear();
  waterfall.clear();
  const mine = (call = new Call());
  try {
    await mine.start();
  } catch (error) {
    if (!(error instanceof Problem)) console.error(error);
    mine.end("error", error.message);
  }
}

async function listMicrophones() {
  const select = byId("microphone");
  const chosen = select.value;
  const options = (await microphones()).map((device, index) => new Option(device.label || `Microphone ${index + 1}`, device.deviceId));
  if (!options.some((option) => option.value === "default")) options.unshift(new Option("Default", ""));
  select.replaceChildren(...options);
  if (options.some((option) => option.value === chosen)) select.value = chosen;
}

for (const key of "123456789*0#") {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = key;
  button.onclick = () => call?.say("dtmf", { buttons: [key] });
  byId("keys").append(button);
}
byId("call").onclick = toggleCall;
byId("token-form").onsubmit = (event) => { event.preventDefault(); if (!call) toggleCall(); };
byId("mute").onclick = () => setMuted(byId("mute").getAttribute("aria-pressed") !== "true");
addEventListener("pagehide", () => call?.end("idle"));

showAbout();
const missing = unsupported();
show(missing ? "error" : "idle", "Not connected", missing ?? "");
if (missing) byId("call").disabled = true;
else {
  listMicrophones();
  navigator.mediaDevices.addEventListener("devicechange", listMicrophones);
}
