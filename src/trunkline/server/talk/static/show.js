// What the page shows: the conversation and the latency of its turns.
// Everything that comes from the call is set as text, never as markup.

const byId = (id) => document.getElementById(id);

const STAGES = [
  ["endpointing", "end of turn"],
  ["recognition", "recognition"],
  ["first_token", "first token"],
  ["first_audio", "first audio"],
  ["first_packet", "first packet"],
];

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

export class Conversation {
  constructor() {
    this.list = byId("transcript");
    this.list.addEventListener("scroll", () => {
      this.following = this.list.scrollHeight - this.list.scrollTop - this.list.clientHeight < 40;
    });
    this.clear();
  }

  clear() {
    this.list.replaceChildren();
    this.turns = new Map();
    this.replies = new Map();
    this.following = true;
    byId("empty").hidden = false;
  }

  add(className, who) {
    byId("empty").hidden = true;
    const item = element("li", className);
    if (who) item.append(element("span", "who", who));
    const text = item.appendChild(element("span", "text"));
    this.list.append(item);
    this.follow();
    return { item, text };
  }

  // Keep the end in view, unless somebody has scrolled up to read.
  follow() { if (this.following) this.list.scrollTop = this.list.scrollHeight; }

  // The same turn again means that the caller went on: its text holds the former.
  caller(turn) {
    if (!this.turns.has(turn)) this.turns.set(turn, this.add("you", "You"));
    return this.turns.get(turn);
  }

  callerStarted({ turn }) { this.caller(turn).item.classList.add("speaking"); }

  callerStopped({ turn, false_start: falseStart }) {
    const said = this.turns.get(turn) ?? [...this.turns.values()].at(-1);
    said?.item.classList.remove("speaking");
    if (falseStart && said && !said.text.textContent) this.forget(said);
  }

  forget(said) {
    said.item.remove();
    for (const [turn, other] of this.turns) if (other === said) this.turns.delete(turn);
  }

  callerSaid({ turn, text, keys }) {
    const said = this.caller(turn);
    said.item.classList.remove("speaking");
    said.text.textContent = keys ? `pressed ${keys}` : text || "(nothing understood)";
    said.item.classList.toggle("nothing", !keys && !text);
    this.follow();
  }

  reply(number) {
    if (!this.replies.has(number)) this.replies.set(number, { ...this.add("agent", "Agent"), said: "" });
    return this.replies.get(number);
  }

  agentSaying({ reply, text }) {
    const said = this.reply(reply);
    said.said += text;
    said.text.textContent = said.said;
    this.follow();
  }

  agentStarted({ reply }) { this.replies.get(reply)?.item.classList.add("speaking"); }

  // The reply is over: what was heard, and struck through what was not.
  agentSaid({ reply, spoken_progress: { accumulated_text: heard, remaining_text: unheard } }) {
    const said = this.reply(reply);
    said.item.classList.remove("speaking");
    said.text.replaceChildren(document.createTextNode(heard));
    if (unheard.trim()) {
      const cut = element("s", "", unheard);
      cut.title = "not heard: the agent was interrupted";
      said.text.append(element("span", "hidden", " (cut off, not heard: "), cut, element("span", "hidden", ")"));
    } else if (!heard.trim()) said.item.remove();
    this.follow();
  }

  note(text) {
    this.add("note").text.textContent = text;
    this.follow();
  }
}

export class Waterfall {
  constructor() {
    this.list = byId("waterfall");
    byId("legend").replaceChildren(...STAGES.map(([, label], index) => {
      const item = element("li");
      item.append(element("i", `stage-${index}`), label);
      return item;
    }));
    this.clear();
  }

  clear() {
    this.list.replaceChildren();
    this.turns = [];
  }

  // Each stage is in milliseconds from the end of speech and holds those before it.
  add({ turn, stages }) {
    const item = element("li");
    const row = item.appendChild(element("div", "row"));
    const total = Math.round(stages.first_packet_ms);
    row.append(element("span", "", `Turn ${turn}`), element("strong", "", `${total} ms`));
    const bar = item.appendChild(element("div", "bar"));
    let before = 0;
    const words = STAGES.map(([name, label], index) => {
      const at = Math.max(before, stages[`${name}_ms`] ?? before);
      const part = bar.appendChild(element("span", `stage-${index}`));
      part.style.flexGrow = at - before;
      part.title = `${label}: ${Math.round(at - before)} ms`;
      before = at;
      return part.title;
    });
    const rest = bar.appendChild(element("span"));
    bar.setAttribute("role", "img");
    bar.setAttribute("aria-label", words.join(", "));
    this.turns.push({ total: before, rest });
    this.list.append(item);
    this.list.scrollTop = this.list.scrollHeight;
    // One scale for all turns.
    const longest = Math.max(...this.turns.map((other) => other.total), 1);
    for (const other of this.turns) other.rest.style.flexGrow = longest - other.total;
  }
}
