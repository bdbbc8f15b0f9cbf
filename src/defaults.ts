/**
 * Where things are unless the daemon's configuration says otherwise. Apart from config.ts, whose schema library takes
 * longer to load than the whole command line.
 */
export const DEFAULTS = {
  config: '/etc/fistpath/fistpathd.json',
  state_directory: '/var/lib/fistpath',
  bpf_directory: '/sys/fs/bpf/fistpath',
  unix: '/run/fistpath/api.sock',
  port: 13000,
} as const;
