// The centrifuge SDK's reader of deltas, by itself: what it makes of a publication, after the one before.
import { Centrifuge } from "centrifuge";
import { drive, tell } from "./lines.mjs";

drive(() => {
  const codec = new Centrifuge("ws://localhost", { websocket: class {} })._codec;
  let before;
  return {
    publication: (o) => {
      const { newData, newPrevValue, isDelta } = codec.applyDeltaIfNeeded(o.pub, before);
      before = newPrevValue;
      tell("publication", { data: newData, text: new TextDecoder().decode(newPrevValue), delta: isDelta });
    },
    refused: (o) => {
      try {
        codec.applyDeltaIfNeeded(o.pub, before);
        tell("accepted");
      } catch (e) {
        tell("refused", { text: String(e) });
      }
    },
  };
});
