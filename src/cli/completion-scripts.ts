/**
 * The scripts that make shells ask `penstock __complete`. Pure.
 *
 * They hold no command or option themselves, so that they never fall behind the program. An answer
 * is lines of `WORD<tab>what it is`; a last line `:files`, `:folders` or `:more` asks the shell for
 * file names too, or for no space after the word.
 */

export type Shell = "bash" | "zsh" | "fish";

export function completionScript(shell: Shell): string {
  return SCRIPTS[shell];
}

// Bash cuts words at ":" and "=" too, so it passes the whole line and gets only what is missing.
const BASH = `# bash completion for penstock: source <(penstock completion bash)
_penstock() {
  local line words=() hint=""
  while IFS= read -r line; do
    case $line in
      :*) hint=$line ;;
      *) words+=("\${line%%$'\\t'*}") ;;
    esac
  done < <("\${COMP_WORDS[0]}" __complete --shell bash -- "\${COMP_LINE:0:COMP_POINT}" 2>/dev/null)
  COMPREPLY=("\${words[@]}")
  case $hint in
    :files) compopt -o default 2>/dev/null ;;
    :folders) compopt -o dirnames 2>/dev/null ;;
    :more) compopt -o nospace 2>/dev/null ;;
  esac
}
complete -F _penstock penstock
`;

const ZSH = `#compdef penstock
# zsh completion for penstock: source <(penstock completion zsh), after compinit
_penstock() {
  local line hint="" word
  local -a entries
  while IFS= read -r line; do
    case $line in
      :*) hint=$line ;;
      *)
        word=\${line%%$'\\t'*}
        if [[ $line == *$'\\t'?* ]]; then
          entries+=("\${word//:/\\\\:}:\${line#*$'\\t'}")
        else
          entries+=("\${word//:/\\\\:}")
        fi
        ;;
    esac
  done < <("\${words[1]}" __complete --shell zsh -- "\${(@Q)words[1,CURRENT]}" 2>/dev/null)
  case $hint in
    :files) _files ;;
    :folders) _files -/ ;;
    :more) _describe -t words penstock entries -S '' ;;
  esac
  [[ $hint == :more ]] || _describe -t words penstock entries
}
if [[ $funcstack[1] == _penstock ]]; then
  _penstock "$@"
else
  compdef _penstock penstock
fi
`;

const FISH = `# fish completion for penstock: penstock completion fish | source
function __penstock_complete
  set -l words (commandline -opc) (commandline -ct)
  for line in ($words[1] __complete --shell fish -- $words 2>/dev/null)
    switch $line
      case ':files'
        __fish_complete_path (commandline -ct)
      case ':folders'
        __fish_complete_directories (commandline -ct)
      case ':*'
      case '*'
        printf '%s\\n' $line
    end
  end
end
complete -c penstock -f -a '(__penstock_complete)'
`;

const SCRIPTS: Readonly<Record<Shell, string>> = { bash: BASH, zsh: ZSH, fish: FISH };
