import assert from 'node:assert/strict';
import { Value } from 'typebox/value';
import { fistpath } from '#proto';
import { Address, Event, Interface, Network, Node } from '../../src/api/objects.ts';
import {
  addressJson,
  eventJson,
  instanceJson,
  interfaceJson,
  networkJson,
  nodeJson,
} from '../../src/api/shapes.ts';
import { stateName } from '../../src/records/states.ts';

const MAC = Buffer.from('020000e0b79e', 'hex');

describe('records as JSON', () => {
  it('a network has both names of its number and a null floating gateway', () => {
    const json = networkJson(
      fistpath.Network.create({
        uuid: 'u',
        name: 'demonet',
        namespace: 'system',
        vxid: 0xffffff,
        netblock: '192.168.0.0/24',
        metadata: { a: 'b' },
        version: 6,
        mtu: 8950,
        routerMac: Uint8Array.of(2, 0, 0, 0x5e, 0x10, 0x42),
        routed: ['10.10.0.8'],
        dnsEntries: { db: '192.168.0.9' },
      }),
    );
    assert.deepEqual(json, {
      uuid: 'u',
      name: 'demonet',
      vxid: 16777215,
      vxlan_id: 16777215,
      netblock: '192.168.0.0/24',
      provide_dhcp: false,
      provide_nat: false,
      provide_dns: false,
      floating_gateway: null,
      namespace: 'system',
      state: 'initial',
      metadata: { a: 'b' },
      version: 6,
      mtu: 8950,
      router_mac: '02:00:00:5e:10:42',
      routed_addresses: ['10.10.0.8'],
      dns_entries: { db: '192.168.0.9' },
      error_message: null,
    });
    assert.ok(Value.Check(Network, json));
  });

  it('each state has the word that clients know, delete-wait with a hyphen', () => {
    const words = Object.fromEntries(
      Object.entries(fistpath.State)
        .filter((entry): entry is [string, fistpath.State] => typeof entry[1] === 'number')
        .map(([name, value]) => [name, stateName(value)]),
    );
    assert.deepEqual(words, {
      INITIAL: 'initial',
      CREATED: 'created',
      DELETE_WAIT: 'delete-wait',
      DELETED: 'deleted',
      ERROR: 'error',
      MISSING: 'missing',
    });
  });

  it('an interface without IPv4 or floating address has null for both', () => {
    const record = {
      uuid: 'u',
      network: 'n',
      instance: 'i',
      mac: MAC,
      order: 1,
      model: 'virtio',
      state: fistpath.State.CREATED,
      version: 3,
    };
    const json = interfaceJson(fistpath.Interface.create(record));
    assert.deepEqual(json, {
      uuid: 'u',
      network_uuid: 'n',
      instance_uuid: 'i',
      macaddr: '02:00:00:e0:b7:9e',
      ipv4: null,
      order: 1,
      floating: null,
      model: 'virtio',
      state: 'created',
      metadata: {},
      version: 3,
      error_message: null,
    });
    assert.ok(Value.Check(Interface, json));
    assert.equal(interfaceJson(fistpath.Interface.create({ ...record, ipv4: '10.0.0.9' })).ipv4, '10.0.0.9');
  });

  it('an instance has its interfaces inside and the keys of disk_spec in order', () => {
    const nic = fistpath.Interface.create({ uuid: 'nic', mac: MAC });
    const json = instanceJson(
      fistpath.Instance.create({
        uuid: 'u',
        name: 'inst',
        namespace: 'system',
        cpus: 1,
        memory: 1024,
        diskSpec: [
          { type: 'disk', size: 8, base: 'cirros' },
          { type: 'cdrom', bus: 'ide' },
        ],
        node: 'sf-2',
        powerState: 'on',
        state: fistpath.State.DELETED,
        version: 14,
      }),
      [nic],
    );
    assert.equal(
      JSON.stringify(json.disk_spec),
      '[{"base":"cirros","bus":null,"size":8,"type":"disk"},{"base":null,"bus":"ide","size":null,"type":"cdrom"}]',
    );
    assert.deepEqual(json.interfaces, [interfaceJson(nic)]);
    assert.deepEqual(json.video, { model: 'cirrus', memory: 16384 });
    assert.equal(json.state, 'deleted');
    for (const key of [
      'console_port',
      'vdi_port',
      'vdi_tls_port',
      'ssh_key',
      'user_data',
      'nvram_template',
      'agent_state',
      'error_message',
    ] as const) {
      assert.equal(json[key], null, key);
    }
    assert.deepEqual([json.side_channels, json.disks], [[], []]);
    assert.deepEqual([json.machine_type, json.configdrive], ['pc', 'openstack-disk']);
  });

  it('a node that has not reported its datapath says so with null', () => {
    const record = {
      name: 'sf-1',
      address: '10.2.1.11',
      lastSeen: 1596238792.8,
      state: fistpath.State.MISSING,
      networkNode: true,
      underlayMtu: 9000,
      release: '0.1.0',
      datapath: 'ebpf',
    };
    const json = nodeJson(fistpath.Node.create(record));
    assert.ok(Value.Check(Node, json));
    assert.deepEqual(json.datapath, {
      wanted: 'ebpf',
      mode: null,
      reason: null,
      underlay_hook: null,
      problems: [],
      nat: null,
      nat_reason: null,
    });
    assert.deepEqual(
      [json.uuid, json.state, json.is_network_node, json.is_hypervisor],
      ['sf-1', 'missing', true, false],
    );
    const told = nodeJson(
      fistpath.Node.create({
        ...record,
        datapathStatus: {
          ...{ mode: 'kernel', reason: 'no BTF', problems: ['p'] },
          ...{ nat: 'kernel', natReason: 'no BTF either' },
        },
      }),
    );
    assert.deepEqual(
      [told.datapath.mode, told.datapath.reason, told.datapath.problems],
      ['kernel', 'no BTF', ['p']],
    );
    assert.deepEqual([told.datapath.nat, told.datapath.nat_reason], ['kernel', 'no BTF either']);
  });

  describe('an event', () => {
    const record = {
      timestamp: 1596238792.834701,
      node: 'sf-1',
      objectType: 'network',
      objectUuid: 'u',
      operation: 'add mesh elements',
      message: '10.2.1.11',
      type: 'mutate',
      extra: { count: '1' },
    };

    it('for clients of 2020: the name in operation, what was said in message', () => {
      const json = eventJson(fistpath.Event.create(record), false);
      assert.ok(Value.Check(Event, json));
      assert.deepEqual(json, {
        timestamp: 1596238792.834701,
        fqdn: 'sf-1',
        object_type: 'network',
        object_uuid: 'u',
        operation: 'add mesh elements',
        phase: null,
        duration: null,
        message: '10.2.1.11',
        type: 'mutate',
        extra: { count: '1' },
      });
    });

    it('for clients of 2024: the name in message, what was said in extra', () => {
      const json = eventJson(fistpath.Event.create(record), true);
      assert.equal(json.message, 'add mesh elements');
      assert.deepEqual(json.extra, { count: '1', message: '10.2.1.11' });
      const step = eventJson(
        fistpath.Event.create({
          ...record,
          operation: 'create netns',
          phase: 'finish',
          duration: 0.02,
          message: '',
        }),
        true,
      );
      assert.deepEqual(
        [step.message, step.extra.phase, step.phase, step.duration],
        ['create netns', 'finish', 'finish', 0.02],
      );
      assert.equal('message' in step.extra, false);
    });

    it('a duration of zero is not an absent one', () => {
      assert.equal(eventJson(fistpath.Event.create({ ...record, duration: 0 }), false).duration, 0);
    });
  });

  it('an address names its owner as type and uuid, or nobody', () => {
    const record = {
      network: 'n',
      address: '192.168.0.1',
      type: 'gateway',
      ownerType: 'network',
      owner: 'n',
      when: 5.5,
    };
    const json = addressJson(fistpath.Reservation.create(record));
    assert.ok(Value.Check(Address, json));
    assert.deepEqual(json, {
      address: '192.168.0.1',
      user: ['network', 'n'],
      when: 5.5,
      type: 'gateway',
      comment: '',
    });
    assert.deepEqual(
      addressJson(fistpath.Reservation.create({ ...record, type: 'resting', ownerType: '', owner: '' })).user,
      [],
    );
  });
});
