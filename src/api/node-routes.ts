import { Type } from 'typebox';
import { eventRoutes } from './event-routes.ts';
import { args } from './fields.ts';
import { metadataRoutes } from './metadata-routes.ts';
import { Node, Nothing, ref } from './objects.ts';
import { route } from './route.ts';
import { nodeJson } from './shapes.ts';

export const nodeRoutes = [
  route({
    method: 'GET',
    path: '/nodes',
    id: 'listNodes',
    tag: 'nodes',
    summary: 'List nodes',
    description: 'For `system` only.',
    takes: args({}),
    returns: Type.Array(ref(Node)),
    errors: [],
    answer: async (operations, { caller }) => (await operations.listNodes(caller)).map(nodeJson),
  }),
  route({
    method: 'GET',
    path: '/nodes/:node',
    id: 'getNode',
    tag: 'nodes',
    summary: 'One node',
    description: 'For `system` only.',
    takes: args({}),
    returns: ref(Node),
    errors: ['not-found'],
    answer: async (operations, { caller, params }) => nodeJson(await operations.getNode(caller, params.node)),
  }),
  route({
    method: 'DELETE',
    path: '/nodes/:node',
    id: 'deleteNode',
    tag: 'nodes',
    summary: 'Forget a node',
    description: 'For `system` only. Refused while instances are placed on it.',
    takes: args({}),
    returns: Nothing,
    errors: ['not-found', 'conflict'],
    answer: async (operations, { caller, params }) => {
      await operations.deleteNode(caller, params.node);
      return null;
    },
  }),
  route({
    method: 'PUT',
    path: '/nodes/:node/datapath',
    id: 'setDatapath',
    tag: 'nodes',
    summary: 'Choose the path that packets take on this node',
    description:
      'For `system` only. `ebpf`: the fast path in front of the kernel. `kernel`: the kernel alone. The node follows ' +
      'at once and no connection is lost; `datapath.mode` tells what is in force.',
    takes: args({ mode: Type.Unsafe<'ebpf' | 'kernel'>({ type: 'string', enum: ['ebpf', 'kernel'] }) }),
    example: { mode: 'kernel' },
    returns: ref(Node),
    errors: ['not-found'],
    answer: async (operations, { caller, params, args: { mode } }) =>
      nodeJson(await operations.setDatapath(caller, params.node, mode)),
  }),
  ...eventRoutes('node', '/nodes/:node'),
  ...metadataRoutes('node', '/nodes/:node'),
];
