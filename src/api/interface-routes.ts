import { eventRoutes } from './event-routes.ts';
import { args, InNamespace } from './fields.ts';
import { metadataRoutes } from './metadata-routes.ts';
import { Interface, Nothing, ref } from './objects.ts';
import { actingIn, route } from './route.ts';
import { interfaceJson } from './shapes.ts';

export const interfaceRoutes = [
  route({
    method: 'GET',
    path: '/interfaces/:interface',
    id: 'getInterface',
    tag: 'interfaces',
    summary: 'One interface',
    takes: args({ namespace: InNamespace }),
    returns: ref(Interface),
    errors: ['not-found'],
    answer: async (operations, { caller, params, args: { namespace } }) =>
      interfaceJson(
        await operations.getInterface(await actingIn(operations, caller, namespace), params.interface),
      ),
  }),
  route({
    method: 'POST',
    path: '/interfaces/:interface/float',
    id: 'floatInterface',
    tag: 'interfaces',
    summary: 'Give this interface a floating address',
    description:
      'An address of the floating network: the outside reaches the interface by it, and the interface leaves as it. ' +
      'The call waits, 5 s at most, until the network node has it in force. Refused (409) when the interface has one, or ' +
      'its network no NAT.',
    takes: args({ namespace: InNamespace }),
    returns: Nothing,
    errors: ['not-found', 'conflict', 'no-capacity'],
    answer: async (operations, { caller, params, args: { namespace } }) => {
      await operations.floatInterface(await actingIn(operations, caller, namespace), params.interface);
      return null;
    },
  }),
  route({
    method: 'POST',
    path: '/interfaces/:interface/defloat',
    id: 'defloatInterface',
    tag: 'interfaces',
    summary: 'Take the floating address from this interface',
    description:
      'The call waits, 5 s at most, until nothing passes by that address any more. Refused (409) when the interface has ' +
      'none.',
    takes: args({ namespace: InNamespace }),
    returns: Nothing,
    errors: ['not-found', 'conflict'],
    answer: async (operations, { caller, params, args: { namespace } }) => {
      await operations.defloatInterface(await actingIn(operations, caller, namespace), params.interface);
      return null;
    },
  }),
  ...eventRoutes('interface', '/interfaces/:interface'),
  ...metadataRoutes('interface', '/interfaces/:interface'),
];
