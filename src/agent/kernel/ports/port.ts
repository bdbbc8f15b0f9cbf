import type { ActualLink } from '../actual.ts';
import type { WantedPort } from '../desired.ts';
import type { InnerNat } from '../nat-inner.ts';

/** What is inside a namespace, at the other end of one of our veths. */
export interface InnerDevice {
  namespace: string;
  device: string;
  mac: string;
  /** `address/prefix`; null: none. */
  address: string | null;
  /** One more line for the `ip` batch inside. */
  also?: string;
  /** Of a router's namespace: paths below /proc/sys/net with their values, in the order in which they are set. */
  settings?: [string, string][];
  /** It is the outside end of a router with NAT. */
  nat?: InnerNat;
}

/** A way in which an interface's device reaches its user. Everything outside ports/ is the same for every kind. */
export interface PortKind {
  /** The other end is in another namespace, so that bpf_redirect_peer may be used. */
  readonly peer: boolean;
  /** Its device takes frames that XDP redirects to it. */
  readonly xdp: boolean;
  /** Line of an `ip` batch that creates the device, down. */
  create(port: WantedPort, mtu: number): string;
  /** Why an existing device can't serve, or null when it can. MTU, bridge and state are corrected elsewhere. */
  mismatch(port: WantedPort, actual: ActualLink): string | null;
  /** The device in the user's namespace, or null when the user brings his own. */
  inner(port: WantedPort, prefix: number): InnerDevice | null;
}
