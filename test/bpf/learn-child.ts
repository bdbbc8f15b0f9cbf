/**
 * In a namespace of its own: `learn` at TC egress of both veths of two real routers, real traffic through them, and what
 * stands in the map of flows after each step. Prints a LearnReport.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { BpfObject, inNamespace } from '#addon';
import { struct } from './fill.ts';
import { ipv4Address, set32, setMac, toHex } from './frames.ts';
import { BRIDGE_MAC, createRouters, GUESTS, ROUTERS, Sessions, sh, within } from './routers.ts';
import { isReason, objectFile, readCounters } from './subject.ts';

export interface Step {
  /** One line per flow, sorted: what it looks for → what it makes of it. */
  flows: string[];
  /** Packets by reason since the step before. */
  reasons: Record<string, number>;
}

export interface LearnReport {
  steps: Record<string, Step>;
  instructions: number;
  verifiedInstructions: number;
}

createRouters();
const object = new BpfObject(objectFile('learn'));
object.load();
const program = object.program('learn');
for (const { vni } of ROUTERS)
  for (const ifname of [`veth-${vni}-i`, `phy-${vni}-i`])
    await inNamespace(`/run/netns/router${vni}`, {
      verb: 'attachTcx',
      program,
      ifname,
      direction: 'egress',
      pin: `/sys/fs/bpf/${ifname}`,
    });

const u32 = (value: number): Uint8Array => struct(4, (_, v) => v.setUint32(0, value, true));
const gateway = (mac: string, vni: number, side: number): void =>
  object.map('gateways').update(
    struct(8, (b) => setMac(b, 0, mac)),
    struct(8, (_, v) => {
      v.setUint32(0, vni, true);
      v.setUint32(4, side, true);
    }),
  );
function setRouter(vni: number, generation: number): void {
  object.map('routers').update(
    u32(vni),
    struct(12, (_, v) => {
      v.setUint32(0, generation, true);
      v.setUint32(4, 1, true);
      v.setUint16(8, 1500, true);
    }),
  );
}
for (const { vni, inside, outside } of ROUTERS) {
  gateway(inside, vni, 0);
  gateway(outside, vni, 1);
  setRouter(vni, vni * 10);
}
gateway(BRIDGE_MAC, 0, 2);
for (const [slot, { network, address }] of Object.values(GUESTS).entries())
  object.map('accounts').update(
    struct(8, (b, v) => {
      v.setUint32(0, network, true);
      set32(b, 4, ipv4Address(address));
    }),
    u32(slot),
  );

const flowsMap = object.map('flows');
const [TCP, ICMP] = [6, 1];
/** PROGRAM_LEARN of abi.h. */
const LEARN = 4;

function flows(): string[] {
  const { count, keys, values } = flowsMap.entries();
  const lines: string[] = [];
  const tuple = (view: DataView, at: number): string => {
    const address = (offset: number): string =>
      [0, 1, 2, 3].map((i) => view.getUint8(at + offset + i)).join('.');
    return `${address(0)}:${view.getUint16(at + 8)} > ${address(4)}:${view.getUint16(at + 10)}`;
  };
  for (let i = 0; i < count; i++) {
    const key = new DataView(keys.buffer, keys.byteOffset + i * 20, 20);
    const value = new DataView(values.buffer, values.byteOffset + i * 72, 72);
    const protocol = key.getUint8(16);
    const name = protocol === TCP ? 'tcp' : protocol === ICMP ? 'icmp' : 'udp';
    const flags = value.getUint16(56, true);
    const mac = (at: number): string => toHex(values.subarray(i * 72 + at, i * 72 + at + 6));
    const account = value.getUint32(52, true);
    const age = process.hrtime.bigint() - value.getBigUint64(0, true);
    if (age < 0n || age > 60_000_000_000n) throw new Error(`a flow was learned ${age} ns ago`);
    lines.push(
      [
        `${key.getUint32(0, true)} ${name} ${tuple(key, 4)} = ${tuple(value, 32)}`,
        `vni ${value.getUint32(44, true)} generation ${value.getUint32(48, true)}`,
        `account ${account < 100 ? account : 'none'}${flags & 1 ? ' outside' : ''}${flags & 2 ? ' hairpin' : ''}`,
        `${mac(64)} > ${mac(58)}`,
        ...(value.getBigUint64(16, true) > 0n ? [`packets ${value.getBigUint64(16, true)}`] : []),
      ].join(', '),
    );
  }
  return lines.sort();
}

let counted = readCounters(object, LEARN);
const steps: LearnReport['steps'] = {};
function note(name: string): void {
  const now = readCounters(object, LEARN);
  const reasons: Record<string, number> = {};
  for (const [key, [packets]] of now) {
    const rise = packets - (counted.get(key)?.[0] ?? 0);
    if (isReason(key) && rise > 0) reasons[key] = rise;
  }
  counted = now;
  steps[name] = { flows: flows(), reasons };
}
function forget(): void {
  const { count, keys } = flowsMap.entries();
  flowsMap.deleteBatch(keys, count);
}

const sessions = new Sessions();
const ask = (...command: unknown[]): Promise<unknown> => sessions.ask(...command);
const SERVER = '198.51.100.1';
const ping = (namespace: string, target: string, options = ''): string =>
  within(namespace, `ping -i 0.02 -W 1 -q -c 3 ${options} ${target} || true`);

/** One step: what it does, and what it leaves; then everything is forgotten. */
async function step(name: string, act: () => unknown): Promise<void> {
  await act();
  // A last acknowledgement comes late, up to 200 ms.
  await sleep(250);
  note(name);
  forget();
  within('router1', 'conntrack -F 2>/dev/null');
  within('router2', 'conntrack -F 2>/dev/null');
}

// Neighbours are resolved before anything is looked at.
ping('guest2', SERVER);
ping('twin', SERVER);
forget();
note('start');

await step('the router itself', () => ping('router1', SERVER));
await step('unanswered SYN', async () => {
  within('outside', 'nft add table ip silence');
  within('outside', "nft 'add chain ip silence in { type filter hook input priority 0; }'");
  within('outside', 'nft add rule ip silence in tcp dport 9000-9100 drop');
  await ask('scan', 'guest2', '10.0.0.11', SERVER, [9000, 9001, 9002]);
});
await step('refused SYN', () => ask('scan', 'guest2', '10.0.0.11', SERVER, [9200, 9201, 9202]));
await step('UDP without an answer', () =>
  ask('udp', 'lonely', 'guest2', '10.0.0.11', 5000, 'outside', SERVER, SERVER, 5300),
);
await step('UDP', async () => {
  await ask('udp', 'udp', 'guest2', '10.0.0.11', 5001, 'outside', SERVER, SERVER, 5301);
  await ask('answer', 'udp', 2);
});
await step('TCP', async () => {
  await ask('tcp', 'tcp', 'guest2', '10.0.0.11', 5002, 'outside', SERVER, SERVER, 8000);
  await ask('talk', 'tcp', 3);
});
await ask('tcp', 'fin', 'guest2', '10.0.0.11', 5003, 'outside', SERVER, SERVER, 8001);
await ask('talk', 'fin', 2);
note('before FIN');
await step('FIN', () => ask('close', 'fin'));
await ask('tcp', 'rst', 'guest2', '10.0.0.11', 5004, 'outside', SERVER, SERVER, 8002);
await ask('talk', 'rst', 2);
note('before RST');
await step('RST', () => ask('reset', 'rst'));
await step('echo', () => ping('guest2', SERVER, '-e 77'));
await step('two echoes with one identifier', () => {
  sh(`ip netns exec guest2 ping -i 0.02 -q -c 3 -e 88 ${SERVER} >/dev/null
      ip netns exec guest2 ip address add 10.0.0.12/24 dev eth0
      ip netns exec guest2 ping -i 0.02 -q -c 3 -e 88 -I 10.0.0.12 ${SERVER} >/dev/null`);
});
await step('floating, from inside', async () => {
  await ask('tcp', 'floating', 'guest1', '10.0.0.10', 5005, 'outside', SERVER, SERVER, 8003);
  await ask('talk', 'floating', 2);
});
await step('floating, from outside', async () => {
  await ask('tcp', 'in', 'outside', SERVER, 6000, 'guest1', '10.0.0.10', '10.10.0.50', 80);
  await ask('talk', 'in', 2);
});
await step('hairpin in one network', async () => {
  await ask('tcp', 'near', 'guest2', '10.0.0.11', 5006, 'guest1', '10.0.0.10', '10.10.0.50', 81);
  await ask('talk', 'near', 2);
});
await step('hairpin between two networks', async () => {
  await ask('tcp', 'far', 'guest2', '10.0.0.11', 5007, 'twin', '10.0.0.10', '10.10.0.60', 82);
  await ask('talk', 'far', 2);
});
await step('the same five numbers in both networks', async () => {
  await ask('udp', 'one', 'guest1', '10.0.0.10', 5008, 'outside', SERVER, SERVER, 5302);
  await ask('answer', 'one');
  await ask('udp', 'two', 'twin', '10.0.0.10', 5008, 'outside', SERVER, SERVER, 5302);
  await ask('answer', 'two');
});
await step('ICMP errors', () =>
  within('guest2', `traceroute -n -q 1 -m 3 -w 1 -U -p 5400 ${SERVER} >/dev/null || true`),
);
await step('the node itself', () => ping('guest2', '10.10.0.254'));
await step('IPv6', () => {
  sh(`
    ip -n guest2 address add fd00:1::11/64 dev eth0 nodad
    ip -n guest2 route add default via fd00:1::1
    for device in veth-1-i phy-1-i; do ip -n router1 address add fe80::1/64 dev $device nodad; done
    ip -n router1 address add fd00:1::1/64 dev veth-1-i nodad
    ip -n router1 address add fd00:2::2/64 dev phy-1-i nodad
    ip -n outside address add fd00:2::1/64 dev eth0 nodad
    ip -n outside route add default via fd00:2::2
    ip netns exec router1 sysctl -qw net.ipv6.conf.all.forwarding=1
    ip netns exec router1 nft 'table ip6 six { chain forward { type filter hook forward priority 0; ct state new accept; }; }'
    ip netns exec guest2 python3 - <<'END'
import ctypes, socket
def end(namespace):
    with open("/run/netns/" + namespace) as file:
        assert ctypes.CDLL(None).setns(file.fileno(), 0) == 0
    made = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    made.settimeout(5)
    made.bind(("::", 5600))
    return made
far, near = end("outside"), end("guest2")
for _ in range(3):
    near.sendto(b"x", ("fd00:2::1", 5600))
    _, sender = far.recvfrom(1)
    far.sendto(b"y", sender)
    near.recv(1)
END`);
});
await step('FTP', async () => {
  await ask('tcp', 'ftp', 'guest2', '10.0.0.11', 5009, 'outside', SERVER, SERVER, 21);
  await ask('talk', 'ftp', 3);
});
await ask('tcp', 'again', 'guest2', '10.0.0.11', 5010, 'outside', SERVER, SERVER, 8004);
await ask('talk', 'again', 2);
await sleep(250);
note('before another generation');
// As if the fast path had forwarded some.
const { count, keys, values } = flowsMap.entries();
for (let i = 0; i < count; i++)
  new DataView(values.buffer, values.byteOffset + i * 72).setBigUint64(16, BigInt(7 + i), true);
flowsMap.updateBatch({ count, keys, values });
setRouter(1, 99);
await step('another generation', () => ask('talk', 'again', 1));
sessions.close();
const { instructions, verifiedInstructions } = program.info;
object.close();
const report: LearnReport = { steps, instructions, verifiedInstructions };
process.stdout.write(JSON.stringify(report));
