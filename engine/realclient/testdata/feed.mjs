// clients/js in Node.js, over `ws`.
import WebSocket from "ws";
import { feedOrders } from "./feed-orders.mjs";
import { drive, tell, tls } from "./lines.mjs";

drive((where) => {
  class Socket extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols, tls(where));
    }
  }
  return feedOrders(where, tell, { WebSocket: Socket });
});
