/** NAT in the planner alone: no root, no kernel. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { fistpath } from '#proto';
import {
  addressNumber,
  blockText,
  contains,
  overlap,
  parseBlock,
} from '../../../src/agent/kernel/addresses.ts';
import { wantedState } from '../../../src/agent/kernel/desired.ts';
import {
  type NatRecord,
  natElements,
  replaceNatLines,
  staleLines,
  updateNatLines,
} from '../../../src/agent/kernel/nat-table.ts';
import { GATEWAY, guest, NETWORK, NEXT_HOP, network, OTHER_NETWORK, POOL, SF1, SF2 } from './samples.ts';

const errorsOf = (...networks: fistpath.INodeNetwork[]) =>
  wantedState(new Map(networks.map((each) => [each.uuid!, each])), SF1, 9000).errors;

const one = network({
  local: [guest(1), guest(2)],
  router: 'here',
  nat: { floats: { '10.10.0.50': guest(1) } },
});

/** The same with another NAT, or another router. */
function withNat(nat: Partial<fistpath.INat>, router: Partial<fistpath.IRouter> = {}): fistpath.INodeNetwork {
  return { ...one, router: { ...one.router, nat: { ...one.router!.nat, ...nat }, ...router } };
}

describe('kernel fallback, NAT, planner', () => {
  it('refuses what it can’t build, and says why', () => {
    const lease = { interface: guest(1).interface, mac: new Uint8Array(6), ipv4: guest(1).ipv4, name: '' };
    const cases: [fistpath.INodeNetwork, RegExp][] = [
      [withNat({ pool: 'nonsense' }), /floating pool "nonsense" is malformed/],
      [withNat({ pool: '192.168.0.0/16' }), /its netblock overlaps the floating pool 192\.168\.0\.0\/16/],
      [withNat({ gateway: '10.10.1.2' }), /floating gateway 10\.10\.1\.2 is no host's address/],
      [withNat({ gateway: '10.10.0.0' }), /floating gateway 10\.10\.0\.0 is no host's address/],
      [withNat({ gateway: '10.10.0.255' }), /is no host's address/],
      [withNat({ gateway: NEXT_HOP }), /floating gateway 10\.10\.0\.1 is its next hop, too/],
      [
        withNat({ gateway: '10.10.0.2; flush ruleset' }),
        /floating gateway "10\.10\.0\.2; flush ruleset" is not IPv4/,
      ],
      [withNat({ gateway: '010.10.0.2' }), /is not IPv4/],
      [withNat({ nextHop: '' }), /next hop "" is not IPv4/],
      [
        withNat({ floats: [{ floating: GATEWAY, ipv4: guest(1).ipv4 }] }),
        /floating address 10\.10\.0\.2 is its floating gateway, too/,
      ],
      [
        withNat({ floats: [{ floating: '10.10.0.5', ipv4: '10.9.0.1' }] }),
        /10\.9\.0\.1 behind floating address 10\.10\.0\.5 is not in the netblock/,
      ],
      [
        withNat({ floats: ['5', '6'].map((n) => ({ floating: `10.10.0.${n}`, ipv4: guest(1).ipv4 })) }),
        /has two floating addresses/,
      ],
      [
        withNat({ floats: [1, 2].map((n) => ({ floating: '10.10.0.5', ipv4: guest(n).ipv4 })) }),
        /10\.10\.0\.5 is its floating address, too/,
      ],
      [{ ...one, routed: ['10.10.0.50'] }, /routed address 10\.10\.0\.50 is its floating address, too/],
      [{ ...one, routed: ['8.8.8.8'] }, /routed address 8\.8\.8\.8 is no host's address/],
      [{ ...one, routed: ['10.10.0.7\n'] }, /routed address "10\.10\.0\.7\n" is not IPv4/],
      [
        withNat({}, { leases: [{ ...lease, ipv4: '10.0.0.1' }] }),
        /address 10\.0\.0\.1 of interface .* is not in the netblock/,
      ],
      [
        withNat({}, { leases: [lease, { ...lease, interface: guest(2).interface }] }),
        /have the same address/,
      ],
      [
        withNat({}, { leases: [{ ...lease, interface: '../x' }] }),
        /interface "\.\.\/x" of a lease is no uuid/,
      ],
      [withNat({}, { address: '192.168.1.1' }), /router address 192\.168\.1\.1 is not in the netblock/],
    ];
    for (const [record, expected] of cases) assert.match(errorsOf(record).get(NETWORK) ?? '', expected);
    assert.equal(errorsOf(one).size, 0);
  });

  it('lets no two networks have one outside address', () => {
    const other = (nat: Parameters<typeof network>[0]) =>
      errorsOf(one, network({ uuid: OTHER_NETWORK, vni: 3, router: 'here', ...nat })).get(OTHER_NETWORK) ??
      '';
    for (const nat of [{}, { gateway: '10.10.0.3', floats: { [GATEWAY]: guest(4) } }])
      assert.match(
        other({ nat }),
        /address 10\.10\.0\.2 of the floating network is taken by network 41f41085/,
      );
    assert.match(
      other({ nat: { gateway: '10.10.0.3', floats: { '10.10.0.50': guest(4) } } }),
      /address 10\.10\.0\.50 of the floating network is taken/,
    );
    assert.equal(other({ nat: { gateway: '10.10.0.3' } }), '');
  });

  const address = fc.integer({ min: 1, max: 5 }).map((n) => `192.168.0.${n}`);
  const floating = fc.integer({ min: 1, max: 4 }).map((n) => `10.10.0.${n + 10}`);
  const record: fc.Arbitrary<NatRecord> = fc
    .record({
      gateway: fc.constantFrom('10.10.0.2', '10.10.0.3'),
      prefix: fc.constant(24),
      // 1:1, as the door has checked.
      floats: fc.uniqueArray(fc.tuple(floating, address), {
        comparator: (a, b) => a[0] === b[0] || a[1] === b[1],
      }),
      routed: fc.uniqueArray(floating),
      leases: fc.dictionary(address, fc.constantFrom('i', 'j')),
    })
    .map((each) => ({ ...each, floats: Object.fromEntries(each.floats), rules: 'r' }));

  /** What nft would make of the lines: it refuses to add a key with another value, and to delete what is not there. */
  function carriedOut(lines: readonly string[], sets: Map<string, Map<string, string>>): void {
    for (const text of lines) {
      const match = /^(add|delete) element ip fistpath (\w+) \{ (.*) \}$/.exec(text);
      if (!match) continue;
      const [, verb, set, list] = match as unknown as [string, string, string, string];
      const rows = sets.get(set) ?? new Map<string, string>();
      sets.set(set, rows);
      for (const element of list.split(', ')) {
        const [key = ''] = element.split(' : ');
        if (verb === 'delete') assert.ok(rows.delete(key), `${key} is not in ${set}`);
        else {
          assert.ok(!rows.has(key), `${key} is in ${set}`);
          rows.set(key, element);
        }
      }
    }
  }

  it('takes the sets from any record to any other', () => {
    fc.assert(
      fc.property(record, record, (from, to) => {
        const sets = new Map<string, Map<string, string>>();
        carriedOut(replaceNatLines('', from), sets);
        carriedOut(updateNatLines(from, to), sets);
        for (const [set, elements] of natElements(to))
          assert.deepEqual(new Set(sets.get(set)?.values()), elements, set);
        assert.deepEqual(updateNatLines(to, to), []);
      }),
    );
  });

  it('forgets every connection that no longer holds, and no other', () => {
    fc.assert(
      fc.property(fc.array(record, { maxLength: 3 }), record, (before, to) => {
        const lines = staleLines(before, to);
        const gone = (words: string) => lines.includes(`-D ${words}`);
        for (const each of before) {
          for (const [outer, ipv4] of Object.entries(each.floats)) {
            if (to.floats[outer] !== ipv4)
              assert.ok(gone(`--orig-dst ${outer}`) && gone(`--reply-dst ${outer}`));
          }
          for (const [ipv4, owner] of Object.entries(each.leases)) {
            if (to.leases[ipv4] !== owner)
              assert.ok(gone(`--orig-src ${ipv4}`) && gone(`--reply-src ${ipv4}`));
          }
          for (const outer of each.routed) {
            if (!to.routed.includes(outer))
              assert.ok(gone(`--orig-src ${outer}`) && gone(`--orig-dst ${outer}`));
          }
          if (each.gateway !== to.gateway) assert.ok(gone(`--reply-dst ${each.gateway}`));
        }
        if (before.every((each) => JSON.stringify(each) === JSON.stringify(to))) assert.deepEqual(lines, []);
        assert.ok(!gone(`--reply-dst ${to.gateway}`));
      }),
    );
  });
});

describe('kernel fallback, address arithmetic', () => {
  it('knows blocks', () => {
    assert.equal(blockText(parseBlock('192.168.0.77/24')!), '192.168.0.0/24');
    assert.equal(blockText(parseBlock('255.255.255.255/1')!), '128.0.0.0/1');
    assert.equal(blockText(parseBlock('1.2.3.4/0')!), '0.0.0.0/0');
    for (const text of [
      '',
      '1.2.3.4',
      '1.2.3.4/33',
      '1.2.3.4/',
      '1.2.3.4/8/8',
      '1.2.3/8',
      '1.2.3.4/ 8',
      '1.2.3.4/-1',
    ])
      assert.equal(parseBlock(text), undefined, text);
    assert.equal(addressNumber('255.255.255.255'), 2 ** 32 - 1);
    assert.ok(contains(parseBlock(POOL)!, '10.10.0.255') && !contains(parseBlock(POOL)!, '10.10.1.0'));
    const blocks = ['10.0.0.0/8', '10.10.0.0/24', '10.10.1.0/24', '0.0.0.0/0', SF2.concat('/32')].map(
      (text) => parseBlock(text)!,
    );
    const overlaps = blocks.map((a) => blocks.map((b) => (overlap(a, b) ? 1 : 0)).join('')).join(' ');
    assert.equal(overlaps, '11111 11010 10110 11111 10011');
  });
});
