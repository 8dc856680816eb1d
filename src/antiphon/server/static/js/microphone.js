/** The microphone, and in plain words why there is none. */

/** Why the microphone cannot be used; `kind` is insecure, denied, missing, busy or failed. */
export class MicrophoneUnavailable extends Error {
  constructor(kind) {
    super(kind);
    this.kind = kind;
  }
}

const KINDS = {
  NotAllowedError: "denied",
  SecurityError: "denied",
  NotFoundError: "missing",
  OverconstrainedError: "missing",
  NotReadableError: "busy",
  AbortError: "busy",
};

/** Ask for the microphone; resolves with its stream. */
export async function openMicrophone() {
  if (!window.isSecureContext || !navigator.mediaDevices?.getUserMedia) throw new MicrophoneUnavailable("insecure");
  try {
    return await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 },
    });
  } catch (error) {
    throw new MicrophoneUnavailable(KINDS[error.name] ?? "failed");
  }
}

/** What to tell the user, by kind: a title and what they can do. */
export function explain(kind) {
  return EXPLANATIONS[kind] ?? EXPLANATIONS.failed;
}

const EXPLANATIONS = {
  insecure: {
    title: "Browsers give the microphone only to secure pages",
    text:
      "This page was opened over http. Open it over https, or on the machine itself as http://localhost. " +
      "You can type meanwhile; replies are spoken.",
    retry: false,
  },
  denied: {
    title: "The microphone is blocked",
    text:
      "Allow it in the site settings beside the address bar, and for the browser in your system’s privacy settings. " +
      "You can type meanwhile; replies are spoken.",
    retry: true,
  },
  missing: {
    title: "No microphone was found",
    text: "Plug one in or turn it on. You can type meanwhile; replies are spoken.",
    retry: true,
  },
  busy: {
    title: "The microphone is in use by another program",
    text: "Close that program. You can type meanwhile; replies are spoken.",
    retry: true,
  },
  lost: {
    title: "The microphone was disconnected",
    text: "Plug it in again. You can type meanwhile; replies are spoken.",
    retry: true,
  },
  failed: {
    title: "The microphone does not work",
    text: "Your browser could not open it. You can type meanwhile; replies are spoken.",
    retry: true,
  },
};
