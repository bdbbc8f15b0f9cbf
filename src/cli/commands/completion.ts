import { Argument, type Command } from 'commander';
import { examples } from '../command.ts';
import { write } from '../output.ts';
import { readSettings } from '../settings.ts';

/** Each asks `fistpath __complete WORDS…`, whose last word is the one being typed. */
const SCRIPTS: Record<string, string> = {
  bash: `# fistpath: completion for bash. To load it: source <(fistpath completion bash)
_fistpath() {
  local line
  COMPREPLY=()
  while IFS= read -r line; do
    COMPREPLY+=("$(printf '%q' "$line")")
  done < <(fistpath __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _fistpath fistpath`,
  zsh: `#compdef fistpath
# fistpath: completion for zsh. To load it: source <(fistpath completion zsh)
_fistpath() {
  local -a names
  names=("\${(@f)$(fistpath __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  compadd -a names
}
compdef _fistpath fistpath`,
  fish: `# fistpath: completion for fish. To load it: fistpath completion fish | source
function __fistpath_complete
  set -l words (commandline -opc) (commandline -ct)
  fistpath __complete -- $words[2..-1] 2>/dev/null
end
complete -c fistpath -f -a '(__fistpath_complete)'`,
};

export function addCompletionCommands(program: Command): void {
  const completion = program
    .command('completion')
    .summary('a completion script for bash, zsh or fish')
    .description(
      'Prints a completion script for a shell. Names of networks, instances and nodes come from the live API.',
    )
    .addArgument(new Argument('<shell>', 'bash, zsh or fish').choices(Object.keys(SCRIPTS)))
    .action((shell: string) => write(SCRIPTS[shell]!));
  examples(completion, [
    'source <(fistpath completion bash)',
    'fistpath completion fish > ~/.config/fish/completions/fistpath.fish',
  ]);

  program
    .command('__complete', { hidden: true })
    .argument('[words...]')
    .action(async (words: string[]) => {
      const { candidates } = await import('../complete.ts');
      const found = await candidates(program, words, readSettings({}));
      if (found.length > 0) write(found.join('\n'));
    });
}
