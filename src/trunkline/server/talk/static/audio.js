// The page's microphone and loudspeaker.

const PROBLEMS = {
  NotAllowedError: "The microphone was not allowed. Allow it for this page in your browser's address bar, then start again.",
  SecurityError: "The browser does not let this page use a microphone. Open it as http://localhost or over HTTPS.",
  NotFoundError: "There is no microphone. Connect one, then start again.",
  OverconstrainedError: "The chosen microphone is gone. Choose another one, then start again.",
  NotReadableError: "The microphone is in use by another program, or does not work. Close that program, then start again.",
};

export class Problem extends Error {}

export function unsupported() {
  if (!window.isSecureContext) return PROBLEMS.SecurityError;
  if (!("WebSocket" in window)) return "This browser has no WebSockets, which carry the call.";
  if (!("AudioWorkletNode" in window)) return "This browser has no AudioWorklet, which plays the call. A current Firefox, Chrome, Edge or Safari does.";
  if (!navigator.mediaDevices?.getUserMedia) return "This browser gives no page a microphone.";
  return null;
}

// The microphones there are; their names come once one was allowed.
export async function microphones() {
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.filter((device) => device.kind === "audioinput" && device.deviceId);
}

export class Sound {
  // onframe(ArrayBuffer), onmark(name), onlevel("you" | "agent", dBov), onlost()
  constructor(events) {
    this.events = events;
    this.closed = false;
  }

  async open(deviceId) {
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({
        audio: {
          deviceId: deviceId ? { exact: deviceId } : undefined,
          channelCount: 1,
          echoCancellation: true,
          noiseSuppression: true,
          autoGainControl: true,
        },
      });
    } catch (error) {
      throw new Problem(PROBLEMS[error.name] ?? `The microphone cannot be used: ${error.message}`);
    }
    this.context = new AudioContext({ latencyHint: "interactive" });
    try {
      await this.context.audioWorklet.addModule("worklet.js");
    } catch {
      this.close();
      throw new Problem("The node could not be reached. Reload this page once it runs again.");
    }
    await this.context.resume();
    if (this.closed) { this.close(); return; } // hung up while we waited
    this.connect();
  }

  connect() {
    const { context, events } = this;
    this.microphone = new AudioWorkletNode(context, "microphone", { numberOfOutputs: 0 });
    this.loudspeaker = new AudioWorkletNode(context, "loudspeaker", { numberOfInputs: 0, outputChannelCount: [1] });
    this.microphone.port.onmessage = ({ data }) => {
      events.onlevel("you", decibels(data.power));
      events.onframe(data.pcm);
    };
    this.loudspeaker.port.onmessage = ({ data }) => {
      if (data.mark === undefined) events.onlevel("agent", decibels(data.power));
      // What the worklet has let go is still on its way to the loudspeaker.
      else setTimeout(() => events.onmark(data.mark), (context.outputLatency || 0) * 1000);
    };
    context.createMediaStreamSource(this.stream).connect(this.microphone);
    this.loudspeaker.connect(context.destination);
    for (const track of this.stream.getAudioTracks()) track.onended = () => events.onlost();
  }

  play(pcm) { this.loudspeaker?.port.postMessage({ pcm }, [pcm]); }
  mark(name) { this.loudspeaker?.port.postMessage({ mark: name }); }
  clear() { this.loudspeaker?.port.postMessage({ clear: true }); }
  mute(muted) { this.microphone?.port.postMessage({ muted }); }

  close() {
    this.closed = true;
    for (const track of this.stream?.getTracks() ?? []) { track.onended = null; track.stop(); }
    this.microphone?.disconnect();
    this.loudspeaker?.disconnect();
    if (this.context && this.context.state !== "closed") this.context.close();
    this.microphone = this.loudspeaker = null;
  }
}

function decibels(power) {
  return power > 1e-6 ? 10 * Math.log10(power) : -60;
}
