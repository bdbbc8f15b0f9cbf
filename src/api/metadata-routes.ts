import type { ObjectType } from '../controller/operations.ts';
import { args, InNamespace, line, StringMap, text } from './fields.ts';
import { Nothing } from './objects.ts';
import { actingIn, parameter, type Route, route } from './route.ts';

const value = text('Any text of at most 64 Ki characters.', 65536);

/** The four calls on one kind of object's metadata; `path` ends in the parameter that names the object. */
export function metadataRoutes(type: ObjectType, path: string): Route[] {
  const tag = type === 'namespace' ? 'auth' : `${type}s`;
  const Type_ = `${type[0]?.toUpperCase()}${type.slice(1)}`;
  return [
    route({
      method: 'GET',
      path: `${path}/metadata`,
      id: `get${Type_}Metadata`,
      tag,
      summary: `The metadata of this ${type}`,
      takes: args({ namespace: InNamespace }),
      returns: StringMap,
      errors: ['not-found'],
      answer: async (operations, { caller, params, args: { namespace } }) =>
        operations.getMetadata(await actingIn(operations, caller, namespace), type, parameter(params, type)),
    }),
    route({
      method: 'POST',
      path: `${path}/metadata`,
      id: `add${Type_}Metadata`,
      tag,
      summary: `Set one metadata item of this ${type}`,
      takes: args({ key: line('Its name.', 'owner'), value, namespace: InNamespace }),
      example: { key: 'owner', value: 'ops' },
      returns: Nothing,
      errors: ['not-found', 'conflict'],
      answer: async (operations, { caller, params, args: given }) => {
        const acting = await actingIn(operations, caller, given.namespace);
        await operations.setMetadata(acting, type, parameter(params, type), given.key, given.value);
        return null;
      },
    }),
    route({
      method: 'PUT',
      path: `${path}/metadata/:key`,
      id: `set${Type_}Metadata`,
      tag,
      summary: `Set one metadata item of this ${type}`,
      takes: args({ value, namespace: InNamespace }),
      example: { value: 'ops' },
      returns: Nothing,
      errors: ['not-found', 'conflict'],
      answer: async (operations, { caller, params, args: given }) => {
        const acting = await actingIn(operations, caller, given.namespace);
        await operations.setMetadata(
          acting,
          type,
          parameter(params, type),
          parameter(params, 'key'),
          given.value,
        );
        return null;
      },
    }),
    route({
      method: 'DELETE',
      path: `${path}/metadata/:key`,
      id: `delete${Type_}Metadata`,
      tag,
      summary: `Remove one metadata item of this ${type}`,
      takes: args({ namespace: InNamespace }),
      returns: Nothing,
      errors: ['not-found', 'conflict'],
      answer: async (operations, { caller, params, args: { namespace } }) => {
        const acting = await actingIn(operations, caller, namespace);
        await operations.deleteMetadata(acting, type, parameter(params, type), parameter(params, 'key'));
        return null;
      },
    }),
  ];
}
