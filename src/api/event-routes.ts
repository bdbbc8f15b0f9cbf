import { Type } from 'typebox';
import type { ObjectType } from '../controller/operations.ts';
import { args, count, InNamespace, nullable, toNumber, word } from './fields.ts';
import { Event, ref } from './objects.ts';
import { actingIn, parameter, type Route, route } from './route.ts';
import { eventJson } from './shapes.ts';

/** `GET PATH/events` of one kind of object; `path` ends in the parameter that names the object. */
export function eventRoutes(type: ObjectType, path: string): Route[] {
  return [
    route({
      method: 'GET',
      path: `${path}/events`,
      id: `get${type[0]?.toUpperCase()}${type.slice(1)}Events`,
      tag: `${type}s`,
      summary: `What happened to this ${type}`,
      description:
        'Two generations of clients read events differently, and only the newer one sends `event_type` or `limit`. ' +
        'Without either key: oldest first, `message` is what the step had to say. With either key, even as null: ' +
        'newest first, `message` repeats the operation, and `extra` has `phase` and `message`. ' +
        '`operation`, `phase` and `duration` are the same in both.',
      takes: args({
        event_type: Type.Optional(nullable(word('Only events of this type.', 'mutate'))),
        limit: Type.Optional(count('At most so many, the newest.', 1, 100_000)),
        namespace: InNamespace,
      }),
      returns: Type.Array(ref(Event)),
      errors: ['not-found'],
      answer: async (operations, { caller, params, args: given }) => {
        const newer = given.event_type !== undefined || given.limit !== undefined;
        const acting = await actingIn(operations, caller, given.namespace);
        const events = await operations.events(acting, type, parameter(params, type), {
          event_type: given.event_type ?? null,
          limit: toNumber(given.limit) ?? null,
        });
        return (newer ? events.reverse() : events).map((event) => eventJson(event, newer));
      },
    }),
  ];
}
