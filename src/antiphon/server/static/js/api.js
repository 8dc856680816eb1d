/** What the page asks of the server over HTTP. */

const DEADLINE_MS = 20_000;

/** A request that failed; `code` is the server's, or "unreachable" when there was no answer. */
export class RequestFailed extends Error {
  constructor(code, message, { status = 0, retryAfter = 0 } = {}) {
    super(message);
    this.code = code;
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** The agents and the ICE servers. */
export function getConfig() {
  return request("/api/config");
}

/** A token for one connection to an agent. */
export function getToken(agent) {
  return request(`/api/get_token?agent=${encodeURIComponent(agent)}`);
}

/** The answer to a WebRTC offer. */
export function postOffer(token, description) {
  return request("/api/rtc/offer", {
    method: "POST",
    headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
    body: JSON.stringify({ type: description.type, sdp: description.sdp }),
  });
}

async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(DEADLINE_MS), ...options });
  } catch {
    throw new RequestFailed("unreachable", "The server does not answer.");
  }
  const body = await response.json().catch(() => ({}));
  if (response.ok) return body;
  throw new RequestFailed(body.code ?? "error", body.detail ?? `The server answered ${response.status}.`, {
    status: response.status,
    retryAfter: Number(response.headers.get("Retry-After")) || 0,
  });
}
