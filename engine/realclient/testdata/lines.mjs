// What the scripts share: they are driven over their standard input and output, one JSON object a line.
// The first line says where the server is; each further one is an order. What happens is told as events.
import { createInterface } from "node:readline";

export const tell = (event, details = {}) => process.stdout.write(JSON.stringify({ event, ...details }) + "\n");

// drive calls begin with the first line, which returns the orders by name, and then one order a line.
// The end of the input ends the script.
export async function drive(begin) {
  process.on("uncaughtException", (e) => { tell("crash", { text: String(e.stack ?? e) }); process.exit(1); });
  let orders = null;
  for await (const line of createInterface({ input: process.stdin })) {
    const order = JSON.parse(line);
    if (orders === null) {
      orders = await begin(order);
      tell("ready");
      continue;
    }
    await orders[order.do](order);
  }
  process.exit(0);
}

// tls are the options with which `ws` verifies the server: its certificate, and the name in it.
export const tls = (where) => ({ ca: where.ca || undefined, servername: "localhost", origin: where.origin });
