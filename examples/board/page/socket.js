/** Actions by the WebSocket that is open anyway: browsers write each POST that is refused, or cut off,
 * into the console as an error, though it is none here. */

let socket = null;
const waiting = new Map();

export class Socket extends WebSocket {
  constructor(...args) {
    super(...args);
    socket = this;
    this.addEventListener("message", (event) => {
      if (!event.data.includes('"ref":"fetch ')) return;
      event.stopImmediatePropagation();
      const message = JSON.parse(event.data);
      waiting.get(message.ref)?.({ status: message.code ?? 200, json: async () => message });
    });
    this.addEventListener("close", () => {
      for (const done of waiting.values()) done(null);
    });
  }
}

export const fetchBySocket = (url, { body, signal }) => new Promise((resolve, reject) => {
  const ref = `fetch ${crypto.getRandomValues(new Uint32Array(2)).join("-")}`;
  const done = (answer) => {
    waiting.delete(ref);
    if (answer) resolve(answer);
    else reject(new TypeError("the connection is gone"));
  };
  if (socket?.readyState !== WebSocket.OPEN) return done(null);
  waiting.set(ref, done);
  signal.addEventListener("abort", () => done(null));
  const value = JSON.parse(body);
  const action = decodeURIComponent(/actions\/([^/]*)$/.exec(url.pathname)?.[1] ?? "");
  return socket.send(JSON.stringify(action ? { ...value, action, ref } : { can: value, ref }));
});
