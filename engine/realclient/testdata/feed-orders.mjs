// The orders for clients/js, the same in Node.js and in a page.
import { Feed } from "../../../clients/js/weir-feed.js";

export function feedOrders(where, tell, options = {}) {
  const tokens = []; // who waits for one
  const wanted = () => new Promise((resolve) => { tell("token wanted"); tokens.push(resolve); });
  let feed = null;

  return {
    open: (o) => {
      feed = new Feed(where.url + "/feed", {
        channels: o.channels, token: o.askForToken ? wanted : o.token, since: o.since ?? {}, baseDelay: 20, maxDelay: 200, connectTimeout: 3_600_000, ...options,
      });
      for (const type of ["publication", "gap"]) {
        feed.addEventListener(type, ({ channel, offset, epoch, data }) => tell(type, { channel, offset, epoch, data }));
      }
      for (const type of ["open", "error", "reconnecting", "close"]) {
        feed.addEventListener(type, ({ code, reason, message }) => tell(type, { code, reason, text: message }));
      }
    },
    "give token": (o) => tokens.shift()(o.token),
    positions: () => tell("positions", { data: feed.positions }),
    close: () => feed.close(),
  };
}
