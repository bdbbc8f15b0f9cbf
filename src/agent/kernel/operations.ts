/** The plan's language: what the planner says and the executor does. */

import type { NatRecord } from './nat-table.ts';

/** What one namespace needs inside; done by one process that enters it. */
export interface InnerSetup {
  namespace: string;
  /** Of a router, else none: paths below /proc/sys/net with their values. A router has no IPv6, too. */
  settings: [string, string][];
  /** One transaction, before devices come up. */
  nft: string[];
  /** Lines of an `ip` batch that take away what may be gone already. */
  gone: string[];
  /** Devices that get GRO, so that they take frames redirected from XDP (a veth without NAPI loses them all). */
  devices: string[];
  /** Lines of an `ip` batch. */
  lines: string[];
  /** Lines of `conntrack -R`, when nothing new can come of what they forget. */
  stale: string[];
  /** What to remember as done: device outside → its setting; null: nothing. */
  ready: Record<string, InnerState | null>;
  /** Device in `ready` whose NAT rules are new, so that how nft shows them has to be remembered. */
  learns?: string;
}

/** Remembered of a device that was set up inside a namespace: it can't be seen from outside. */
export interface InnerState {
  /** Of the outer end. */
  ifindex: number;
  /** MAC and address inside. */
  identity: string;
  mtu: number;
  /** Of the outside end of a router with NAT. */
  nat?: NatState;
}

export interface NatState {
  /** How nft showed the rules when we had made them; empty: a change was begun, and not ended. */
  structure: string;
  /** What is in force; after a change that was begun: what was, and what was to be. */
  records: NatRecord[];
}

export interface Announcement {
  namespace: string;
  device: string;
  addresses: string[];
}

export type Action =
  /** One line of a batch for `ip`, `bridge` or `nft`. */
  | { tool: 'ip' | 'bridge' | 'nft'; line: string }
  /** A setting under /proc/sys. */
  | { tool: 'write'; path: string; text: string }
  | { tool: 'inner'; setup: InnerSetup }
  /** Remembers, before they are created, that links are ours; later, that they have their alias. */
  | { tool: 'pending'; links: string[] }
  /** Remembers, before it is created, that a namespace is ours, or what is about to be changed inside. */
  | { tool: 'claim'; namespace: string; devices?: Record<string, InnerState> }
  /** Forgets a namespace that is gone. */
  | { tool: 'release'; namespace: string }
  /** Tells the outside, from inside a namespace, where addresses are now. */
  | ({ tool: 'announce' } & Announcement);

export type Operation = Action & {
  /** Networks that it is done for: its failure is theirs, and it is left out when one of them failed before. */
  networks: readonly string[];
  /** Step that it belongs to, by its name in the events. */
  step?: string;
  /** The same, for what is done at once. */
  steps?: readonly string[];
  stepMessage?: string;
  /** Address that joins or leaves the mesh by it. */
  mesh?: { operation: 'add mesh elements' | 'remove mesh elements'; address: string };
  /** It deletes: that the thing is gone already is no failure. */
  removes?: boolean;
};

/** Operations that are done in one go, by one process where a tool is needed. */
export interface Stage {
  name: string;
  operations: Operation[];
}

export interface Plan {
  stages: Stage[];
  /** Network → why it can't be built; what it has stays. */
  errors: Map<string, string>;
  /** Network → why it can't reach the outside; the rest of it is built. */
  shortcomings: Map<string, string>;
}
