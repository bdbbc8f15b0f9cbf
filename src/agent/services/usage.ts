/**
 * What interfaces sent and received, as their devices count it, and what of it went outside.
 *
 * Each way into a guest must count once. A tap counts what it is given, by the bridge or by a redirect. A veth's
 * outer end does not: bpf_redirect_peer enters the other namespace past it (tried: 0 of 20 packets; an XDP redirect
 * and the bridge do count there), so a veth is read at its inner end, which sees all of them. One difference stays: a
 * tap counts the virtio-net header, 10 or 12 bytes, of a packet that XDP gave it.
 */
import { readFileSync } from 'node:fs';
import { devicesIn } from '#addon';
import type { fistpath } from '#proto';
import { readOutsideUsage } from '../datapath/usage.ts';
import { type PortKindName, portKinds } from '../kernel/links.ts';
import { portName } from '../kernel/names.ts';
import { readOutsideTraffic } from '../kernel/traffic.ts';

export interface UsageConfig {
  portKind: PortKindName;
  bpfDirectory: string;
}

interface Traffic {
  packets: number;
  bytes: number;
}

/** As the device sees it. */
export interface DeviceTraffic {
  received: Traffic;
  sent: Traffic;
}

/** Namespaces read at a time. */
const PARALLEL = 8;

/** /proc/net/dev, by device; see proc(5). */
export function parseDevices(text: string): Map<string, DeviceTraffic> {
  const devices = new Map<string, DeviceTraffic>();
  for (const line of text.split('\n')) {
    const colon = line.lastIndexOf(':');
    if (colon < 0) continue;
    const numbers = line
      .slice(colon + 1)
      .trim()
      .split(/\s+/)
      .map(Number);
    const traffic = (at: number): Traffic => ({ bytes: numbers[at]!, packets: numbers[at + 1]! });
    devices.set(line.slice(0, colon).trim(), { received: traffic(0), sent: traffic(8) });
  }
  return devices;
}

const sum = (a: Traffic, b: Traffic): Traffic => ({
  packets: a.packets + b.packets,
  bytes: a.bytes + b.bytes,
});

/** Does `work` for each, some at a time; what fails is left out, and handed to `onError`. */
async function each<T, R>(
  all: readonly T[],
  work: (one: T) => Promise<R>,
  onError: (error: Error) => void,
): Promise<R[]> {
  const results: R[] = [];
  const waiting = [...all];
  const worker = async () => {
    for (let one = waiting.shift(); one !== undefined; one = waiting.shift()) {
      try {
        results.push(await work(one));
      } catch (error) {
        onError(error as Error);
      }
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
  return results;
}

/**
 * Reads the numbers of every network of this node: an interface's bytes are those of its frames, with the outside
 * those from the IP header on, by nftables and by the fast path alike. What can't be read is left out, and told to `onError`: its
 * numbers are simply not known now.
 */
export async function readUsage(
  networks: Iterable<fistpath.INodeNetwork>,
  config: UsageConfig,
  onError: (error: Error) => void,
): Promise<fistpath.IUsage> {
  const all = [...networks];
  const kind = portKinds[config.portKind];
  const here = parseDevices(readFileSync('/proc/net/dev', 'utf8'));

  const ports = all.flatMap((network) =>
    (network.ports ?? []).map((port) => {
      const id = port.interface!;
      const inner = kind.inner(
        {
          interface: id,
          instance: port.instance!,
          ifname: portName(id),
          mac: '',
          ipv4: '',
          order: port.order ?? 0,
        },
        32,
      );
      return { id, network: network.uuid!, inner };
    }),
  );
  const namespaces = [...new Set(ports.flatMap(({ inner }) => inner?.namespace ?? []))];
  const inside = new Map(
    await each(
      namespaces,
      async (name) => [name, parseDevices(await devicesIn(`/run/netns/${name}`))] as const,
      onError,
    ),
  );
  const interfaces = ports.flatMap(({ id, network, inner }): fistpath.IInterfaceUsage[] => {
    const seen = inner ? inside.get(inner.namespace)?.get(inner.device) : here.get(portName(id));
    if (!seen) return [];
    // What the guest's own device sent, or what its tap received from it.
    const [sent, received] = inner ? [seen.sent, seen.received] : [seen.received, seen.sent];
    return [{ interface: id, network, sent, received }];
  });

  const routers = all.filter(({ router }) => router?.nat);
  let cached: ReturnType<typeof readOutsideUsage> = new Map();
  try {
    if (routers.length > 0) cached = readOutsideUsage(config.bpfDirectory);
  } catch (error) {
    onError(error as Error);
  }
  const outside = await each(
    routers,
    async ({ uuid, vni, router }) => {
      const kernel = await readOutsideTraffic(uuid!);
      return (router!.leases ?? []).flatMap((lease): fistpath.IOutsideUsage[] => {
        const [slow, fast] = [kernel.get(lease.ipv4!), cached.get(vni!)?.get(lease.ipv4!)];
        if (!slow && !fast) return [];
        const none = { packets: 0, bytes: 0 };
        const total = (way: 'sent' | 'received') => sum(slow?.[way] ?? none, fast?.[way] ?? none);
        return [
          { network: uuid!, interface: lease.interface!, sent: total('sent'), received: total('received') },
        ];
      });
    },
    onError,
  );
  const byInterface = (a: { interface?: string | null }, b: { interface?: string | null }) =>
    a.interface! < b.interface! ? -1 : 1;
  return { interfaces, outside: outside.flat().sort(byInterface) };
}
