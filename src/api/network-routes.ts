import { Type } from 'typebox';
import { eventRoutes } from './event-routes.ts';
import { args, InNamespace, line, nullable } from './fields.ts';
import { metadataRoutes } from './metadata-routes.ts';
import { Address, Interface, Network, ref, Uuids } from './objects.ts';
import { actingIn, route } from './route.ts';
import { addressJson, interfaceJson, networkJson } from './shapes.ts';

export const networkRoutes = [
  route({
    method: 'GET',
    path: '/networks',
    id: 'listNetworks',
    tag: 'networks',
    summary: 'List networks',
    description: 'Those of the own namespace; `system` sees all.',
    takes: args({ all: Type.Optional(Type.Boolean({ description: 'Deleted and failed ones, too.' })) }),
    returns: Type.Array(ref(Network)),
    errors: [],
    answer: async (operations, { caller, args: given }) =>
      (await operations.listNetworks(caller, given)).map(networkJson),
  }),
  route({
    method: 'POST',
    path: '/networks',
    id: 'createNetwork',
    tag: 'networks',
    summary: 'Create a network',
    description: 'It is `initial` until the network node has it, then `created`: poll it.',
    takes: args({
      name: line('For people; need not be unique.', 'demonet'),
      netblock: line('IPv4, in CIDR notation, host bits zero, /29 or larger.', '192.168.0.0/24'),
      provide_dhcp: Type.Optional(
        Type.Boolean({ description: 'Answer DHCP. Kept; not served by this release.' }),
      ),
      provide_nat: Type.Optional(
        Type.Boolean({ description: 'Masquerade towards the outside. Kept; not served by this release.' }),
      ),
      provide_dns: Type.Optional(
        Type.Boolean({ description: 'Answer DNS. Kept; not served by this release.' }),
      ),
      namespace: Type.Optional(nullable(line('Create it in this namespace; for `system` only.'))),
      vxid: Type.Optional(
        Type.Integer({
          minimum: 1,
          maximum: 0xffffff,
          description: 'Ask for this VNI, not the lowest free one.',
        }),
      ),
    }),
    example: { name: 'demonet', netblock: '192.168.0.0/24', provide_dhcp: false, provide_nat: false },
    returns: ref(Network),
    errors: ['not-found', 'conflict', 'no-capacity'],
    answer: async (operations, { caller, args: given }) =>
      networkJson(await operations.createNetwork(caller, given)),
  }),
  route({
    method: 'DELETE',
    path: '/networks',
    id: 'deleteNetworks',
    tag: 'networks',
    summary: 'Delete every network of a namespace',
    description: 'Networks with interfaces stay.',
    takes: args({
      confirm: Type.Optional(Type.Boolean({ description: 'Must be true.' })),
      namespace: Type.Optional(
        nullable(line('Which namespace; another than the own one is for `system` only.')),
      ),
      clean_wait: Type.Optional(
        nullable(Type.Boolean({ description: 'Sent by clients; the reply never waits.' })),
      ),
    }),
    example: { confirm: true },
    returns: Uuids,
    errors: ['not-found'],
    answer: (operations, { caller, args: { confirm, namespace } }) =>
      operations.deleteNetworks(caller, { confirm, namespace }),
  }),
  route({
    method: 'GET',
    path: '/networks/:network',
    id: 'getNetwork',
    tag: 'networks',
    summary: 'One network',
    takes: args({ namespace: InNamespace }),
    returns: ref(Network),
    errors: ['not-found'],
    answer: async (operations, { caller, params, args: { namespace } }) =>
      networkJson(await operations.getNetwork(await actingIn(operations, caller, namespace), params.network)),
  }),
  route({
    method: 'DELETE',
    path: '/networks/:network',
    id: 'deleteNetwork',
    tag: 'networks',
    summary: 'Delete a network',
    description:
      'Refused while instances are on it. The state is `delete-wait` until every node has removed it.',
    takes: args({ namespace: InNamespace }),
    returns: ref(Network),
    errors: ['forbidden', 'not-found', 'conflict'],
    answer: async (operations, { caller, params, args: { namespace } }) =>
      networkJson(
        await operations.deleteNetwork(await actingIn(operations, caller, namespace), params.network),
      ),
  }),
  route({
    method: 'GET',
    path: '/networks/:network/interfaces',
    id: 'listNetworkInterfaces',
    tag: 'networks',
    summary: 'The interfaces on this network',
    takes: args({ namespace: InNamespace }),
    returns: Type.Array(ref(Interface)),
    errors: ['not-found'],
    answer: async (operations, { caller, params, args: { namespace } }) => {
      const acting = await actingIn(operations, caller, namespace);
      return (await operations.networkInterfaces(acting, params.network)).map(interfaceJson);
    },
  }),
  route({
    method: 'GET',
    path: '/networks/:network/addresses',
    id: 'listNetworkAddresses',
    tag: 'networks',
    summary: 'The addresses of this network that are taken or resting',
    takes: args({ namespace: InNamespace }),
    returns: Type.Array(ref(Address)),
    errors: ['not-found'],
    answer: async (operations, { caller, params, args: { namespace } }) => {
      const acting = await actingIn(operations, caller, namespace);
      return (await operations.networkAddresses(acting, params.network)).map(addressJson);
    },
  }),
  ...eventRoutes('network', '/networks/:network'),
  ...metadataRoutes('network', '/networks/:network'),
];
