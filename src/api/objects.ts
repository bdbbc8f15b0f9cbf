// The JSON objects that the API returns; shapes.ts fills them. Extra to the original's fields are `mtu`,
// `router_mac`, `routed_addresses`, `dns_entries` and `error_message` of networks, `error_message` of interfaces, and `underlay_mtu` and `datapath` of nodes.
import { type Static, type TSchema, Type } from 'typebox';
import { nullable, StringMap } from './fields.ts';

const text = Type.String();
const whole = Type.Integer();
const textOrNull = nullable(Type.String());
const wholeOrNull = nullable(Type.Integer());

/** States in the clients' words. */
const State = Type.Unsafe<string>({
  type: 'string',
  enum: ['initial', 'created', 'delete-wait', 'deleted', 'error', 'missing'],
});

/** A reference to one of the schemas below, which all have an $id. */
export function ref<T extends TSchema>(schema: T) {
  return Type.Unsafe<Static<T>>({ $ref: `${(schema as { $id?: string }).$id}#` });
}

const NETWORK = {
  uuid: '41f41085-b6d1-4c47-83ea-c8065bd54292',
  name: 'demonet',
  vxid: 2,
  vxlan_id: 2,
  netblock: '192.168.0.0/24',
  provide_dhcp: false,
  provide_nat: false,
  provide_dns: false,
  floating_gateway: null,
  namespace: 'system',
  state: 'initial',
  metadata: {},
  version: 1,
  mtu: 8950,
  router_mac: '02:00:00:5e:10:42',
  routed_addresses: [],
  dns_entries: {},
  error_message: null,
};

export const Network = Type.Object(
  {
    uuid: text,
    name: text,
    vxid: Type.Integer({ description: 'The VXLAN network identifier (VNI), 24 bits.' }),
    vxlan_id: Type.Integer({ description: 'The same number under its older name.' }),
    netblock: text,
    provide_dhcp: Type.Boolean(),
    provide_nat: Type.Boolean(),
    provide_dns: Type.Boolean(),
    floating_gateway: nullable(
      Type.String({ description: 'What instances without a floating address leave as; null without NAT.' }),
    ),
    namespace: text,
    state: State,
    metadata: StringMap,
    version: whole,
    mtu: Type.Integer({ description: 'Layer 3 bytes that fit inside the network.' }),
    router_mac: Type.String({ description: 'MAC of the gateway, index 1 of the netblock.' }),
    routed_addresses: Type.Array(text, {
      description: 'Addresses of the floating network that its instances may use as their own.',
    }),
    dns_entries: Type.Unsafe<Record<string, string>>({
      ...StringMap,
      description: 'Names that its DNS answers beside those of its instances.',
    }),
    error_message: nullable(Type.String({ description: 'Why the state is `error`.' })),
  },
  { $id: 'Network', title: 'Network', examples: [NETWORK] },
);

const INTERFACE = {
  uuid: 'c051356d-58fe-439b-8a6b-e772858298b0',
  network_uuid: NETWORK.uuid,
  instance_uuid: '0d7fc92d-9577-4d17-97af-1a7ff3bdb157',
  macaddr: '02:00:00:e0:b7:9e',
  ipv4: '192.168.0.100',
  order: 0,
  floating: null,
  model: 'virtio',
  state: 'created',
  metadata: {},
  version: 2,
  error_message: null,
};

export const Interface = Type.Object(
  {
    uuid: text,
    network_uuid: text,
    instance_uuid: text,
    macaddr: text,
    ipv4: nullable(Type.String({ description: 'null: an interface without IPv4.' })),
    order: whole,
    floating: nullable(Type.String({ description: 'Its address on the outside; null: it has none.' })),
    model: text,
    state: State,
    metadata: StringMap,
    version: whole,
    error_message: textOrNull,
  },
  { $id: 'Interface', title: 'Interface', examples: [INTERFACE] },
);

/** Keys in alphabetical order: clients print this object as it comes. */
const DiskSpec = Type.Object({ base: textOrNull, bus: textOrNull, size: wholeOrNull, type: text });

export const Instance = Type.Object(
  {
    uuid: text,
    name: text,
    namespace: text,
    cpus: whole,
    memory: Type.Integer({ description: 'MiB.' }),
    disk_spec: Type.Array(DiskSpec),
    video: Type.Object({ model: text, memory: Type.Integer({ description: 'KiB.' }) }),
    node: textOrNull,
    power_state: text,
    state: State,
    console_port: wholeOrNull,
    vdi_port: wholeOrNull,
    vdi_tls_port: wholeOrNull,
    ssh_key: textOrNull,
    user_data: textOrNull,
    metadata: StringMap,
    uefi: Type.Boolean(),
    secure_boot: Type.Boolean(),
    nvram_template: textOrNull,
    side_channels: Type.Array(text),
    agent_state: textOrNull,
    error_message: textOrNull,
    machine_type: text,
    configdrive: text,
    disks: Type.Array(Type.Object({})),
    version: whole,
    interfaces: Type.Array(ref(Interface)),
  },
  {
    $id: 'Instance',
    title: 'Instance',
    examples: [
      {
        uuid: INTERFACE.instance_uuid,
        name: 'inst-on-sf-2',
        namespace: 'system',
        cpus: 1,
        memory: 1024,
        disk_spec: [{ base: 'cirros', bus: null, size: 8, type: 'disk' }],
        video: { model: 'cirrus', memory: 16384 },
        node: 'sf-2',
        power_state: 'on',
        state: 'created',
        console_port: null,
        vdi_port: null,
        vdi_tls_port: null,
        ssh_key: null,
        user_data: null,
        metadata: {},
        uefi: false,
        secure_boot: false,
        nvram_template: null,
        side_channels: [],
        agent_state: null,
        error_message: null,
        machine_type: 'pc',
        configdrive: 'openstack-disk',
        disks: [],
        version: 3,
        interfaces: [INTERFACE],
      },
    ],
  },
);

export const Node = Type.Object(
  {
    name: text,
    uuid: Type.String({ description: "The node's name again." }),
    ip: text,
    lastseen: Type.Number({ description: 'Seconds since the epoch.' }),
    state: State,
    release: text,
    version: whole,
    is_etcd_master: Type.Boolean(),
    is_hypervisor: Type.Boolean(),
    is_network_node: Type.Boolean(),
    is_eventlog_node: Type.Boolean(),
    is_cluster_maintainer: Type.Boolean(),
    metadata: StringMap,
    underlay_mtu: whole,
    datapath: Type.Object({
      wanted: Type.String({ description: 'What was asked for: `ebpf` or `kernel`.' }),
      mode: nullable(Type.String({ description: 'What is in force; null until the node has reported.' })),
      reason: nullable(Type.String({ description: 'Why `mode` is not what was wanted.' })),
      underlay_hook: nullable(Type.String({ description: '`tc`, `xdp` or null.' })),
      problems: Type.Array(text),
      nat: nullable(
        Type.String({
          description:
            'Where NAT is done: `ebpf` (fast path, with the kernel behind it) or `kernel`; null: not on this node.',
        }),
      ),
      nat_reason: nullable(Type.String({ description: "Why NAT is the kernel's alone." })),
    }),
  },
  {
    $id: 'Node',
    title: 'Node',
    examples: [
      {
        name: 'sf-1',
        uuid: 'sf-1',
        ip: '10.2.1.11',
        lastseen: 1596238792.8,
        state: 'created',
        release: '0.1.0',
        version: 4,
        is_etcd_master: false,
        is_hypervisor: true,
        is_network_node: true,
        is_eventlog_node: false,
        is_cluster_maintainer: false,
        metadata: {},
        underlay_mtu: 9000,
        datapath: {
          wanted: 'ebpf',
          mode: 'ebpf',
          reason: null,
          underlay_hook: 'tc',
          problems: [],
          nat: 'ebpf',
          nat_reason: null,
        },
      },
    ],
  },
);

export const Event = Type.Object(
  {
    timestamp: Type.Number({ description: 'Seconds since the epoch.' }),
    fqdn: Type.String({ description: 'The node where it happened.' }),
    object_type: text,
    object_uuid: text,
    operation: text,
    phase: textOrNull,
    duration: nullable(Type.Number({ description: 'Seconds; finished steps only.' })),
    message: textOrNull,
    type: text,
    extra: StringMap,
  },
  {
    $id: 'Event',
    title: 'Event',
    examples: [
      {
        timestamp: 1596238792.834701,
        fqdn: 'sf-1',
        object_type: 'network',
        object_uuid: NETWORK.uuid,
        operation: 'create vxlan interface',
        phase: 'finish',
        duration: 0.023,
        message: null,
        type: 'mutate',
        extra: {},
      },
    ],
  },
);

export const Address = Type.Object(
  {
    address: text,
    user: Type.Array(text, { description: 'Type and uuid of the owner; empty when it has none.' }),
    when: Type.Number({ description: 'Seconds since the epoch.' }),
    type: text,
    comment: text,
  },
  {
    $id: 'Address',
    title: 'Address',
    examples: [
      {
        address: '192.168.0.1',
        user: ['network', NETWORK.uuid],
        when: 1596238792.8,
        type: 'gateway',
        comment: '',
      },
    ],
  },
);

export const Token = Type.Object(
  { access_token: text, token_type: text, expires_in: Type.Integer({ description: 'Seconds.' }) },
  {
    $id: 'Token',
    title: 'Token',
    examples: [{ access_token: 'eyJhbGciOi…', token_type: 'Bearer', expires_in: 900 }],
  },
);

export const ErrorReply = Type.Object(
  {
    error: Type.String({ description: 'What failed, on which object, why; what to do.' }),
    status: Type.Integer({ description: 'The HTTP status again.' }),
  },
  { $id: 'Error', title: 'Error', examples: [{ error: 'there is no network "demonet"', status: 404 }] },
);

/** The JSON text `null`: done, and there is nothing to say. */
export const Nothing = Type.Unsafe<null>({ type: ['null'], description: 'Done: the JSON text `null`.' });

export const RoutedAddress = Type.String({
  description: 'The address.',
  examples: ['10.10.0.7'],
});

export const Ping = Type.Object(
  {
    stdout: Type.String({ description: 'What ping said, line by line.' }),
    stderr: Type.String({ description: 'Why it failed; empty when it did not.' }),
  },
  {
    $id: 'Ping',
    title: 'Ping',
    examples: [{ stdout: '10 packets transmitted, 10 received, 0% packet loss, time 1838ms\n', stderr: '' }],
  },
);

/** The uuids of objects that are on their way out. */
export const Uuids = Type.Array(text, { description: 'The uuids of what is being deleted.' });

/** Everything that is referred to by name from replies. */
export const SHARED = [Network, Interface, Instance, Node, Event, Address, Ping, Token, ErrorReply];
