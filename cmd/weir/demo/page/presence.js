// Who is subscribed to the channel whose symbol is shown: asked once, then told who comes and who leaves.

const maxHere = 500;    // clients that the page keeps of a channel
const maxPeople = 6;    // and shows

let me = ""; // the client ID of this page's connection

async function askWhoIsHere(channel, subscription) {
  let clients;
  try {
    ({ clients } = await subscription.presence());
  } catch (e) {
    clients = null;
    channel.absent = e.code === 108 ? "This channel keeps no presence." : e.message;
  }
  if (channel.subscription !== subscription) return;
  if (channel.changed) { // while we asked
    channel.changed = false;
    askWhoIsHere(channel, subscription);
    return;
  }
  channel.here = clients && new Map(Object.values(clients).slice(0, maxHere).map((c) => [c.client, c.user]));
  showPeople();
}

function onJoin(channel, { client: id, user }) {
  channel.changed = !channel.here;
  if (!channel.here || (!channel.here.has(id) && channel.here.size >= maxHere)) return;
  channel.here.set(id, user);
  note(channel, "came", id, user);
}

function onLeave(channel, { client: id, user }) {
  channel.changed = !channel.here;
  if (!channel.here) return;
  channel.here.delete(id);
  note(channel, "left", id, user);
}

function note(channel, what, id, user) {
  if (channel !== focused()) return;
  const time = new Date().toLocaleTimeString("en-GB");
  byId("event").textContent = time + " " + (id === me ? "this tab" : nameOf(user) + " " + short(id)) + " " + what;
  byId("event").className = what;
  showPeople();
}

const short = (id) => id.slice(0, 6);
const nameOf = (user) => user || "anonymous";

// focused is the channel that the panel is about: that of the chart, or the first one.
const focused = () => selected?.channel ?? [...channels.values()].find((c) => c.subscription) ?? null;

function showPeople() {
  const channel = focused();
  const here = channel?.here;
  byId("where").textContent = channel ? channel.name : "";
  count("here", "client", here?.size);
  count("users", "user", here && new Set(here.values()).size);
  const people = here ? [...here].sort(([a], [b]) => (a === me ? -1 : b === me ? 1 : a < b ? -1 : 1)) : [];
  byId("people").replaceChildren(...people.slice(0, maxPeople).map(([id, user]) => person(id, user)));
  byId("more").textContent = people.length > maxPeople ? "and " + whole(people.length - maxPeople) + " more" : here ? "" : channel?.absent ?? "";
}

function count(id, word, n) {
  byId(id).textContent = n === undefined || n === null ? "–" : whole(n);
  byId(id + "-word").textContent = n === 1 ? word : word + "s";
}

function person(id, user) {
  const item = element("li", id === me ? "me" : ""), code = element("code");
  code.textContent = short(id);
  item.title = id;
  item.append(id === me ? "this tab " : nameOf(user) + " ", code);
  return item;
}
