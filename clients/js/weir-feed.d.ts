/** A place in a channel. Offsets count up by one under an epoch. */
export interface Position {
  offset: number;
  epoch: string;
}

export interface FeedOptions {
  /** What to receive, also patterns such as feeds:*. */
  channels: Iterable<string>;
  /** A JWT, or a function that is asked for one before each connection. */
  token?: string | (() => string | Promise<string>);
  /** The positions of an earlier feed, by channel. */
  since?: Record<string, Position>;
  /** ms; the n-th attempt comes at random between 0 and baseDelay · 2ⁿ⁻¹. Default 1000. */
  baseDelay?: number;
  /** ms; the longest of these, and how long a connection lasts that was a success. Default 30000. */
  maxDelay?: number;
  /** ms, for token and handshake. Default 15000. */
  connectTimeout?: number;
  /** Where none is global, for example that of ws. */
  WebSocket?: new (url: string, protocols: string[]) => unknown;
  random?: () => number;
  timers?: { setTimeout(f: () => void, ms: number): unknown; clearTimeout(timer: unknown): void };
}

export interface FeedEvents<Data> {
  /** Without a position if it came through a pattern. */
  publication: Event & Partial<Position> & { channel: string; data: Data };
  /** What was published up to this offset is missing: fetch the state anew. */
  gap: Event & Position & { channel: string };
  open: Event;
  error: Event & { message: string };
  /** delay is in ms. */
  reconnecting: Event & { code: number; reason: string; delay: number };
  /** The end: nothing follows. */
  close: Event & { code: number; reason: string };
}

export class Feed<Data = any> extends EventTarget {
  /** Connects once the code that made it has returned. Throws on options that can never work. */
  constructor(url: string | URL, options: FeedOptions);
  /** The position of each channel that has one. */
  readonly positions: Record<string, Position>;
  /** Ends the feed for good. */
  close(): void;
  addEventListener<T extends keyof FeedEvents<Data>>(
    type: T, listener: (event: FeedEvents<Data>[T]) => void, options?: boolean | AddEventListenerOptions): void;
  removeEventListener<T extends keyof FeedEvents<Data>>(
    type: T, listener: (event: FeedEvents<Data>[T]) => void, options?: boolean | EventListenerOptions): void;
}
