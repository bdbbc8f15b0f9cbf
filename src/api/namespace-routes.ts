import { metadataRoutes } from './metadata-routes.ts';

export const namespaceRoutes = metadataRoutes('namespace', '/auth/namespaces/:namespace');
