import { Type } from 'typebox';
import type { fistpath } from '#proto';
import type { Caller, Operations } from '../controller/operations.ts';
import { eventRoutes } from './event-routes.ts';
import { args, count, InNamespace, line, nullable, StringMap, text, toNumber, word } from './fields.ts';
import { metadataRoutes } from './metadata-routes.ts';
import { Instance, Interface, ref, Uuids } from './objects.ts';
import { actingIn, route } from './route.ts';
import { instanceJson, interfaceJson } from './shapes.ts';

const InterfaceArguments = args({
  network_uuid: line('A uuid, or a name that is unique in the namespace.', 'demonet'),
  address: Type.Optional(
    nullable(word('An IPv4 address; null or absent for any; "none" for none.', '192.168.0.100')),
  ),
  macaddress: Type.Optional(nullable(word('A unicast MAC; null or absent for a new one.'))),
  model: Type.Optional(nullable(word('The network card that the guest sees.', 'virtio'))),
  float: Type.Optional(
    Type.Boolean({ description: 'Give it a floating address, too; its network needs NAT.' }),
  ),
});

const DiskArguments = args({
  size: Type.Optional(count('GB.', 0, 1_000_000)),
  base: Type.Optional(nullable(word('The image that it starts from.', 'cirros'))),
  bus: Type.Optional(nullable(word('The bus that the guest sees.'))),
  type: Type.Optional(nullable(word('`disk` or `cdrom`.', 'disk'))),
});

const VideoArguments = args({
  model: Type.Optional(word('The graphics card that the guest sees.', 'cirrus')),
  memory: Type.Optional(count('KiB.', 0, 16_777_216)),
  vdi: Type.Optional(nullable(word('Sent by newer clients; there is no display to reach yet.'))),
});

const InstanceArguments = args({
  name: line('For people; need not be unique.', 'inst-on-sf-2'),
  cpus: Type.Integer({ minimum: 1, maximum: 1024, description: 'Virtual CPUs.' }),
  memory: Type.Integer({ minimum: 1, maximum: 16_777_216, description: 'MiB.' }),
  network: Type.Array(InterfaceArguments, { maxItems: 64, description: 'One interface each, in order.' }),
  disk: Type.Array(DiskArguments, { maxItems: 64 }),
  ssh_key: Type.Optional(nullable(text('A public key for the guest.', 65536))),
  user_data: Type.Optional(nullable(text('Base64, for cloud-init.', 524288))),
  namespace: Type.Optional(nullable(line('Create it in this namespace; for `system` only.'))),
  video: Type.Optional(nullable(VideoArguments)),
  placed_on: Type.Optional(nullable(line('The node to run on; absent for the least used one.', 'sf-2'))),
  metadata: Type.Optional(nullable(StringMap as typeof StringMap & { type: string })),
  uefi: Type.Optional(Type.Boolean()),
  secure_boot: Type.Optional(Type.Boolean()),
  nvram_template: Type.Optional(nullable(word('What the UEFI variables start from.'))),
  side_channels: Type.Optional(nullable(Type.Array(line('A virtio-serial port.'), { maxItems: 64 }))),
  machine_type: Type.Optional(nullable(word('The machine that the guest sees.', 'pc'))),
  configdrive: Type.Optional(nullable(word('`openstack-disk` or `none`.', 'openstack-disk'))),
});

/** An instance with its interfaces inside, as every reply has it. */
async function whole(operations: Operations, caller: Caller, record: fistpath.Instance) {
  return instanceJson(record, await operations.instanceInterfaces(caller, record.uuid));
}

export const instanceRoutes = [
  route({
    method: 'GET',
    path: '/instances',
    id: 'listInstances',
    tag: 'instances',
    summary: 'List instances',
    description: 'Those of the own namespace; `system` sees all.',
    takes: args({ all: Type.Optional(Type.Boolean({ description: 'Deleted and failed ones, too.' })) }),
    returns: Type.Array(ref(Instance)),
    errors: [],
    answer: async (operations, { caller, args: given }) => {
      const records = await operations.listInstances(caller, given);
      return Promise.all(records.map((record) => whole(operations, caller, record)));
    },
  }),
  route({
    method: 'POST',
    path: '/instances',
    id: 'createInstance',
    tag: 'instances',
    summary: 'Create an instance',
    description: 'It is `initial` until its node has its interfaces, then `created`: poll it.',
    takes: InstanceArguments,
    example: {
      name: 'inst-on-sf-2',
      cpus: 1,
      memory: 1024,
      network: [{ network_uuid: 'demonet', address: null, macaddress: null, model: 'virtio', float: false }],
      disk: [{ size: 8, base: 'cirros', bus: null, type: 'disk' }],
      placed_on: 'sf-2',
    },
    returns: ref(Instance),
    errors: ['not-found', 'not-ready', 'conflict', 'no-capacity'],
    answer: async (operations, { caller, args: given }) => {
      const record = await operations.createInstance(caller, {
        ...given,
        disk: given.disk.map((disk) => ({ ...disk, size: toNumber(disk.size) ?? null })),
        video: given.video && { model: given.video.model, memory: toNumber(given.video.memory) },
        metadata: given.metadata ?? undefined,
      });
      return whole(operations, caller, record);
    },
  }),
  route({
    method: 'DELETE',
    path: '/instances',
    id: 'deleteInstances',
    tag: 'instances',
    summary: 'Delete every instance of a namespace',
    takes: args({
      confirm: Type.Optional(Type.Boolean({ description: 'Must be true.' })),
      namespace: Type.Optional(
        nullable(line('Which namespace; another than the own one is for `system` only.')),
      ),
    }),
    example: { confirm: true },
    returns: Uuids,
    errors: ['not-found'],
    answer: (operations, { caller, args: given }) => operations.deleteInstances(caller, given),
  }),
  route({
    method: 'GET',
    path: '/instances/:instance',
    id: 'getInstance',
    tag: 'instances',
    summary: 'One instance',
    description: 'A deleted one stays readable for a while, with state `deleted`.',
    takes: args({ namespace: InNamespace }),
    returns: ref(Instance),
    errors: ['not-found'],
    answer: async (operations, { caller, params, args: { namespace } }) => {
      const acting = await actingIn(operations, caller, namespace);
      return whole(operations, acting, await operations.getInstance(acting, params.instance));
    },
  }),
  route({
    method: 'DELETE',
    path: '/instances/:instance',
    id: 'deleteInstance',
    tag: 'instances',
    summary: 'Delete an instance',
    description: 'Poll it until its state is `deleted`.',
    takes: args({ namespace: InNamespace }),
    returns: ref(Instance),
    errors: ['not-found', 'conflict'],
    answer: async (operations, { caller, params, args: { namespace } }) => {
      const acting = await actingIn(operations, caller, namespace);
      return whole(operations, acting, await operations.deleteInstance(acting, params.instance));
    },
  }),
  route({
    method: 'GET',
    path: '/instances/:instance/interfaces',
    id: 'listInstanceInterfaces',
    tag: 'instances',
    summary: 'The interfaces of this instance, in order',
    takes: args({ namespace: InNamespace }),
    returns: Type.Array(ref(Interface)),
    errors: ['not-found'],
    answer: async (operations, { caller, params, args: { namespace } }) => {
      const acting = await actingIn(operations, caller, namespace);
      return (await operations.instanceInterfaces(acting, params.instance)).map(interfaceJson);
    },
  }),
  ...eventRoutes('instance', '/instances/:instance'),
  ...metadataRoutes('instance', '/instances/:instance'),
];
