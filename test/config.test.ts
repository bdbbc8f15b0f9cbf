import assert from 'node:assert/strict';
import { parseConfig } from '../src/config.ts';

const RIGHT = {
  node: 'sf-1',
  roles: ['controller', 'agent'],
  network_node: true,
  underlay: { device: 'eth0', address: '10.2.1.11' },
  uplink: { device: 'eth1' },
  controllers: ['10.2.1.11:13001'],
  bootstrap_key_file: '/etc/fistpath/bootstrap.key',
};

describe('configuration', () => {
  it('is right as the README has it', () => {
    const config = parseConfig(JSON.stringify({ ...RIGHT, floating_pool: '10.10.0.0/24' }), 'file');
    assert.deepEqual(config.uplink, { device: 'eth1', bridge: 'br-egress' });
    assert.equal(config.listen.rest, '127.0.0.1:13000');
  });

  // What an operator writes, and finds out about before the daemon runs.
  const wrong: [Record<string, unknown>, RegExp][] = [
    [{ floating_pool: '10.10.0.0' }, /floating_pool: .* needs a prefix length/],
    [{ floating_pool: '10.10.0.1/24' }, /floating_pool: .* did you mean 10\.10\.0\.0\/24/],
    [{ floating_pool: '10.10.0.0/31' }, /floating_pool: .* too small/],
    [{ dns_servers: ['ns1'] }, /dns_servers has "ns1", which is no IPv4 address/],
    [{ dns_domain: 'a..b' }, /dns_domain "a\.\.b" is no domain name/],
    [{ listen: { rest: '13000' } }, /\/listen\/rest must match/],
    [{ uplink: { device: 'a-very-long-device-name' } }, /\/uplink\/device must match/],
    [{ uplink: { device: 'eth1', bridge: 'eth1' } }, /\/uplink\/bridge is eth1, as \/uplink\/device: name/],
    [{ underlay: { device: 'eth0', address: 'sf-1' } }, /\/underlay\/address is no IPv4 address: sf-1/],
    [{ uplinks: {} }, /\/uplinks is no known field/],
    [{ bootstrap_key_file: undefined }, /needs bootstrap_key_file/],
  ];
  for (const [fields, problem] of wrong) {
    it(`is wrong with ${JSON.stringify(fields)}`, () => {
      assert.throws(() => parseConfig(JSON.stringify({ ...RIGHT, ...fields }), 'file'), problem);
      assert.throws(
        () => parseConfig(JSON.stringify({ ...RIGHT, ...fields }), 'file'),
        /^Error: configuration file: /,
      );
    });
  }
});
