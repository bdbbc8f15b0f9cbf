import { Type } from 'typebox';
import { TOKEN_SECONDS } from './auth.ts';
import { args, line } from './fields.ts';
import { ref, Token } from './objects.ts';
import { type Route, route } from './route.ts';

/** `sign` makes the token of a namespace; `perMinute` bounds guessing, since each attempt costs a slow hash. */
export function authRoutes(sign: (namespace: string) => string, perMinute: number): Route[] {
  return [
    route({
      method: 'POST',
      path: '/auth',
      id: 'authenticate',
      tag: 'auth',
      summary: 'Exchange a key for a token',
      description:
        'The token goes into the header `Authorization: Bearer TOKEN` of every other call, for 15 minutes. ' +
        'On this page: press *Authorize* and paste it.',
      takes: args({
        namespace: line('The namespace to act in; `system` is the admin of all.', 'system'),
        key: Type.String({ minLength: 1, maxLength: 1024, format: 'text', description: 'One of its keys.' }),
      }),
      example: { namespace: 'system', key: 'secret' },
      returns: ref(Token),
      errors: ['unauthorized'],
      open: true,
      perMinute,
      answer: async (operations, { args: { namespace, key } }) => {
        await operations.authenticate(namespace, key);
        return { access_token: sign(namespace), token_type: 'Bearer', expires_in: TOKEN_SECONDS };
      },
    }),
  ];
}
