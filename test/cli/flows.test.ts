/** Directions of connections put together, and matched with conntrack: without a kernel. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Flow, FlowFlag, FlowKey, type Tuple } from '../../src/agent/datapath/abi.ts';
import { ipv4Number } from '../../src/agent/datapath/tables.ts';
import { parseConnections } from '../../src/cli/inspect/conntrack.ts';
import {
  connectionOf,
  type Entry,
  indexed,
  inOrder,
  matches,
  pairUp,
  readEntries,
  turned,
} from '../../src/cli/inspect/flows.ts';
import { portsUsed } from '../../src/cli/inspect/nat.ts';

const TCP = 6;
const tuple = (text: string): Tuple => {
  const [source, source_port, destination, destination_port] = text.split(/[: >]+/);
  return {
    source: ipv4Number(source!),
    source_port: Number(source_port),
    destination: ipv4Number(destination!),
    destination_port: Number(destination_port),
  };
};

function entry(vni: number, from: Tuple, to: Tuple, router: number, flags = 0, protocol = TCP): Entry {
  const key = { vni, tuple: from, protocol };
  const bytes = new Uint8Array(FlowKey.size);
  FlowKey.write(new DataView(bytes.buffer), 0, key);
  const value = {
    ...{ learned_ns: 0n, passed_ns: 0n, packets: 0n, bytes: 0n, tuple: to, vni: router },
    ...{ generation: 1, account: 0, flags, dst_mac: new Uint8Array(6), src_mac: new Uint8Array(6) },
  };
  return { key, value, bytes };
}

/** Both entries of a connection that leaves network `vni` and comes back. */
function outward(vni: number, inside: Tuple, outside: Tuple, protocol = TCP): [Entry, Entry] {
  return [
    entry(vni, inside, outside, vni, FlowFlag.FLOW_OUTSIDE, protocol),
    entry(0, turned(outside, protocol), turned(inside, protocol), vni, 0, protocol),
  ];
}

const names = (pairs: ReturnType<typeof pairUp>, all: Entry[]) =>
  pairs
    .map(({ there, back }) => [all.indexOf(there), back === undefined ? null : all.indexOf(back)])
    .sort((a, b) => a[0]! - b[0]!);

describe('flows: directions put together', () => {
  const inside = tuple('192.168.0.5:40000 > 198.51.100.1:80');

  it('the same tuples of two networks stay apart', () => {
    const all = [
      ...outward(2, inside, tuple('10.10.0.2:40000 > 198.51.100.1:80')),
      ...outward(3, inside, tuple('10.10.0.3:40000 > 198.51.100.1:80')),
    ];
    assert.deepEqual(names(pairUp(all), all), [
      [0, 1],
      [2, 3],
    ]);
    assert.deepEqual(names(pairUp(all.toReversed()), all), [
      [0, 1],
      [2, 3],
    ]);
  });

  it('a connection to a floating address of another network is one pair at each router', () => {
    const a = tuple('192.168.0.5:40000 > 10.10.0.9:80');
    const between = tuple('10.10.0.2:40000 > 10.10.0.9:80');
    const b = tuple('10.10.0.2:40000 > 172.16.0.7:80');
    const all = [
      entry(2, a, between, 2, FlowFlag.FLOW_HAIRPIN),
      entry(0, turned(between, TCP), turned(a, TCP), 2),
      entry(3, turned(b, TCP), turned(between, TCP), 3, FlowFlag.FLOW_HAIRPIN),
      entry(0, between, b, 3),
    ];
    assert.deepEqual(names(pairUp(all), all), [
      [0, 1],
      [2, 3],
    ]);
  });

  it('within one network neither direction leaves it', () => {
    const a = tuple('192.168.0.5:40000 > 10.10.0.9:80');
    const b = tuple('10.10.0.2:40000 > 192.168.0.9:80');
    const all = [entry(2, a, b, 2), entry(2, turned(b, TCP), turned(a, TCP), 2)];
    assert.deepEqual(names(pairUp(all), all), [[0, 1]]);
  });

  it('an answer by another router is none, and one direction alone is shown alone', () => {
    const [there, back] = outward(2, inside, tuple('10.10.0.2:40000 > 198.51.100.1:80'));
    const stranger = { ...back, value: { ...back.value, vni: 3 } };
    assert.deepEqual(names(pairUp([there, stranger]), [there, stranger]), [
      [0, null],
      [1, null],
    ]);
    assert.equal(pairUp([back]).length, 1);
  });

  it('an ICMP echo is paired with its reply, translated identifier and all', () => {
    const all = outward(
      2,
      tuple('192.168.0.5:77 > 198.51.100.1:8'),
      tuple('10.10.0.2:99 > 198.51.100.1:8'),
      1,
    );
    assert.deepEqual(all[1].key.tuple, tuple('198.51.100.1:99 > 10.10.0.2:0'));
    assert.deepEqual(names(pairUp(all), all), [[0, 1]]);
  });

  it('any set of connections comes out whole, however the map was ordered', () => {
    const port = fc.integer({ min: 1, max: 65535 });
    const connection = fc.record({
      vni: fc.integer({ min: 1, max: 3 }),
      guest: fc.integer({ min: 2, max: 4 }),
      protocol: fc.constantFrom(6, 17),
      port,
    });
    const key = (c: { vni: number; guest: number; protocol: number; port: number }) =>
      `${c.vni} ${c.guest} ${c.protocol} ${c.port}`;
    fc.assert(
      fc.property(
        fc.uniqueArray(connection, { selector: key, maxLength: 30 }),
        fc.func(fc.integer()),
        (connections, order) => {
          const made = connections.map((c, i) =>
            outward(
              c.vni,
              tuple(`192.168.0.${c.guest}:${c.port} > 198.51.100.1:80`),
              // The router's choice: unique for each connection.
              tuple(`10.10.0.${c.vni}:${1024 + i} > 198.51.100.1:80`),
              c.protocol,
            ),
          );
          const all = made.flat().sort((a, b) => order(a) - order(b));
          const pairs = pairUp(all);
          assert.equal(pairs.length, connections.length);
          for (const { there, back } of pairs) assert.ok(made.some(([x, y]) => x === there && y === back));
        },
      ),
    );
  });

  it('filters look at both sides of the translation', () => {
    const [there, back] = outward(2, inside, tuple('10.10.0.2:40000 > 198.51.100.1:80'));
    for (const address of ['192.168.0.5', '10.10.0.2', '198.51.100.1'].map(ipv4Number)) {
      assert.ok(matches(there, { address }) && matches(back, { address }));
      assert.ok(!matches(there, { address, vni: 3 }));
    }
    assert.ok(!matches(there, { address: ipv4Number('192.168.0.6') }));
    assert.ok(matches(back, { vni: 2 }), 'whose router decided, not where the packet comes from');
  });

  it('entries are read as the kernel packs them', () => {
    const [there, back] = outward(2, inside, tuple('10.10.0.2:40000 > 198.51.100.1:80'));
    const values = new Uint8Array(2 * Flow.size);
    for (const [i, one] of [there, back].entries())
      Flow.write(new DataView(values.buffer), i * Flow.size, one.value);
    // Somewhere in the middle of a buffer, as views on larger ones are.
    const keys = new Uint8Array([9, ...there.bytes, ...back.bytes]).subarray(1);
    assert.deepEqual(readEntries({ count: 2, keys, values }), [there, back]);
  });
});

describe('flows: what conntrack knows', () => {
  const TEXT = `tcp      6 431999 ESTABLISHED src=192.168.0.5 dst=198.51.100.1 sport=40000 dport=80 src=198.51.100.1 dst=10.10.0.2 sport=80 dport=1024 [ASSURED] mark=0 use=1
udp      17 29 src=198.51.100.7 dst=10.10.0.9 sport=5000 dport=53 [UNREPLIED] src=192.168.0.101 dst=198.51.100.7 sport=53 dport=5000 mark=0 use=1
icmp     1 28 src=192.168.0.5 dst=198.51.100.1 type=8 code=0 id=77 src=198.51.100.1 dst=10.10.0.2 type=0 code=0 id=99 mark=0 use=2
tcp      6 100 SYN_SENT src=192.168.0.5 dst=198.51.100.1 sport=40001 dport=80 [UNREPLIED] src=198.51.100.1 dst=10.10.0.2 sport=80 dport=1024 mark=0 use=1
sctp     132 5 src=192.168.0.5 dst=198.51.100.1 sport=1 dport=2 src=198.51.100.1 dst=10.10.0.2 sport=2 dport=1 mark=0
`;
  const connections = parseConnections(TEXT);

  it('its lines are read, those of other protocols left out', () => {
    assert.deepEqual(
      connections.map(({ protocol, state, timeout, assured, replied }) => [
        protocol,
        state,
        timeout,
        assured,
        replied,
      ]),
      [
        [6, 'established', 431999, true, true],
        [17, null, 29, false, false],
        [1, null, 28, false, true],
        [6, 'syn_sent', 100, false, false],
      ],
    );
    assert.deepEqual(connections[2]!.original, tuple('192.168.0.5:77 > 198.51.100.1:8'));
    assert.deepEqual(connections[2]!.reply, tuple('198.51.100.1:99 > 10.10.0.2:0'));
  });

  it('a flow is known when conntrack makes the same of its packets', () => {
    const known = indexed(connections);
    const one = (protocol: number, from: string, to: string) =>
      pairUp(outward(2, tuple(from), tuple(to), protocol))[0]!;
    const tcp = one(6, '192.168.0.5:40000 > 198.51.100.1:80', '10.10.0.2:1024 > 198.51.100.1:80');
    assert.equal(connectionOf(tcp, known), connections[0]);
    assert.equal(inOrder(tcp, connections[0]), tcp);
    const other = one(6, '192.168.0.5:40000 > 198.51.100.1:80', '10.10.0.2:1025 > 198.51.100.1:80');
    assert.equal(connectionOf(other, known), undefined, 'translated to another port');
    const icmp = one(1, '192.168.0.5:77 > 198.51.100.1:8', '10.10.0.2:99 > 198.51.100.1:8');
    assert.equal(connectionOf(icmp, known), connections[2]);
    const udp = one(17, '192.168.0.101:53 > 198.51.100.7:5000', '10.10.0.9:53 > 198.51.100.7:5000');
    assert.equal(connectionOf(udp, known), connections[1]);
    assert.equal(inOrder(udp, connections[1]).there, udp.back, 'it was opened from outside');
    assert.equal(connectionOf({ there: udp.back!, back: udp.there }, known), connections[1]);
  });

  it('ports are counted once each, those of the gateway only', () => {
    assert.deepEqual(portsUsed(connections, '10.10.0.2'), { icmp: 1, tcp: 1, udp: 0 });
    assert.deepEqual(portsUsed(connections, '198.51.100.7'), { icmp: 0, tcp: 0, udp: 1 });
  });
});
