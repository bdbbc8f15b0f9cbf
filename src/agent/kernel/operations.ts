/** The plan's language: what the planner says and the executor does. */

/** What one namespace needs inside; done by one process that enters it. */
export interface InnerSetup {
  namespace: string;
  /** Router namespaces forward IPv4 and have no IPv6. */
  router: boolean;
  /** Devices that get GRO, so that they take frames redirected from XDP (a veth without NAPI loses them all). */
  devices: string[];
  /** Lines of an `ip` batch. */
  lines: string[];
  /** What to remember as done: device outside → its setting. */
  ready: Record<string, InnerState>;
}

/** Remembered of a device that was set up inside a namespace: it can't be seen from outside. */
export interface InnerState {
  /** Of the outer end. */
  ifindex: number;
  /** MAC and address inside. */
  identity: string;
  mtu: number;
}

export type Action =
  /** One line of a batch for `ip`, `bridge` or `nft`. */
  | { tool: 'ip' | 'bridge' | 'nft'; line: string }
  /** A setting under /proc/sys. */
  | { tool: 'write'; path: string; text: string }
  | { tool: 'inner'; setup: InnerSetup }
  /** Remembers, before they are created, that links are ours; later, that they have their alias. */
  | { tool: 'pending'; links: string[] }
  /** Remembers, before it is created, that a namespace is ours; forgets it when it is gone. */
  | { tool: 'claim' | 'release'; namespace: string };

export type Operation = Action & {
  /** Networks that it is done for: its failure is theirs, and it is left out when one of them failed before. */
  networks: readonly string[];
  /** Step that it belongs to, by its name in the events. */
  step?: string;
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
  /** Network → why it can't be (fully) built. */
  errors: Map<string, string>;
}
