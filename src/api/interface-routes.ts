import { eventRoutes } from './event-routes.ts';
import { args, InNamespace } from './fields.ts';
import { metadataRoutes } from './metadata-routes.ts';
import { Interface, ref } from './objects.ts';
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
  ...eventRoutes('interface', '/interfaces/:interface'),
  ...metadataRoutes('interface', '/interfaces/:interface'),
];
