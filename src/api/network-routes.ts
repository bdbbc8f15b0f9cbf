import { Type } from 'typebox';
import { eventRoutes } from './event-routes.ts';
import { args, InNamespace, line, nullable } from './fields.ts';
import { metadataRoutes } from './metadata-routes.ts';
import { Address, Interface, Network, Nothing, Ping, RoutedAddress, ref, Uuids } from './objects.ts';
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
    description:
      'It is `initial` until the network node has it, then `created`: poll it. With NAT it takes an address of the ' +
      'floating network (507 when none is left).',
    takes: args({
      name: line('For people; need not be unique.', 'demonet'),
      netblock: line('IPv4, in CIDR notation, host bits zero, /29 or larger.', '192.168.0.0/24'),
      provide_dhcp: Type.Optional(Type.Boolean({ description: 'Answer DHCP; otherwise nothing does.' })),
      provide_nat: Type.Optional(
        Type.Boolean({
          description:
            'Let its instances reach the outside as an address of the floating network, and have floating addresses.',
        }),
      ),
      provide_dns: Type.Optional(
        Type.Boolean({ description: 'Answer DNS, with the names of its instances and of `dns` entries.' }),
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
  route({
    method: 'GET',
    path: '/networks/:network/ping/:address',
    id: 'pingFromNetwork',
    tag: 'networks',
    summary: 'Ping an address from the router of this network',
    description:
      'An address of the network or of the floating network. That nothing answers is no error: read the reply.',
    takes: args({ namespace: InNamespace }),
    returns: ref(Ping),
    errors: ['not-found', 'not-ready'],
    answer: async (operations, { caller, params, args: { namespace } }) => {
      const acting = await actingIn(operations, caller, namespace);
      return operations.pingFromNetwork(acting, params.network, params.address);
    },
  }),
  route({
    method: 'POST',
    path: '/networks/:network/route',
    id: 'routeAddress',
    tag: 'networks',
    summary: 'Route an address of the floating network to this network',
    description:
      'Any instance on it may then use the address as its own, without translation. Refused (409) without NAT.',
    takes: args({ namespace: InNamespace }),
    returns: RoutedAddress,
    errors: ['not-found', 'conflict', 'no-capacity'],
    answer: async (operations, { caller, params, args: { namespace } }) =>
      operations.routeAddress(await actingIn(operations, caller, namespace), params.network),
  }),
  route({
    method: 'DELETE',
    path: '/networks/:network/route/:address',
    id: 'unrouteAddress',
    tag: 'networks',
    summary: 'Take a routed address back',
    description: 'The call waits, 5 s at most, until the network node has it in force.',
    takes: args({ namespace: InNamespace }),
    returns: Nothing,
    errors: ['not-found', 'conflict'],
    answer: async (operations, { caller, params, args: { namespace } }) => {
      const acting = await actingIn(operations, caller, namespace);
      await operations.unrouteAddress(acting, params.network, params.address);
      return null;
    },
  }),
  route({
    method: 'POST',
    path: '/networks/:network/dns',
    id: 'setDnsEntry',
    tag: 'networks',
    summary: 'Add a name to the DNS of this network, or replace it',
    description: 'Refused (400) for a network without `provide_dns`.',
    takes: args({
      name: line("Inside the network's domain; with a dot at its end: as it stands.", 'db'),
      value: line('The IPv4 address that it stands for.', '192.168.0.100'),
      namespace: InNamespace,
    }),
    example: { name: 'db', value: '192.168.0.100' },
    returns: Nothing,
    errors: ['not-found', 'conflict', 'no-capacity'],
    answer: async (operations, { caller, params, args: { name, value, namespace } }) => {
      const acting = await actingIn(operations, caller, namespace);
      await operations.setDnsEntry(acting, params.network, name, value);
      return null;
    },
  }),
  route({
    method: 'DELETE',
    path: '/networks/:network/dns',
    id: 'deleteDnsEntry',
    tag: 'networks',
    summary: 'Remove a name from the DNS of this network',
    takes: args({ name: line('As it was added.', 'db'), namespace: InNamespace }),
    example: { name: 'db' },
    returns: Nothing,
    errors: ['not-found', 'conflict'],
    answer: async (operations, { caller, params, args: { name, namespace } }) => {
      const acting = await actingIn(operations, caller, namespace);
      await operations.deleteDnsEntry(acting, params.network, name);
      return null;
    },
  }),
  ...eventRoutes('network', '/networks/:network'),
  ...metadataRoutes('network', '/networks/:network'),
];
