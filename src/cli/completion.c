#include <string.h>
#include <unistd.h>

#include "eventhub/base/cleanup.h"
#include "eventhub/cli/cli.h"
#include "eventhub/cli/tool.h"

static const char text[] = "Prints a script for the shell: in ~/.bashrc, `source <(eventhub "
                           "completion bash)`, or write it to\n"
                           "/etc/bash_completion.d/eventhub.\n";

/* What all scripts share; the words come from the tables. */
static const char before[] =
    "# bash completion of eventhub\n"
    "_eventhub() {\n"
    "  local word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]:-} words=\n"
    "  if [ \"$COMP_CWORD\" -gt 1 ] && [[ ${COMP_WORDS[COMP_CWORD - 1]} == --*file || "
    "${COMP_WORDS[COMP_CWORD - 1]} == --c* ]]; then\n"
    "    mapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n"
    "    return\n"
    "  fi\n"
    "  case $COMP_CWORD:$command in\n";
static const char after[] = "  esac\n"
                            "  mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n"
                            "}\n"
                            "complete -F _eventhub eventhub\n";

static void append_tool(struct buf *out, const struct tool *tool) {
  buf_printf(out, "  *:%s) words='", tool->name);
  for (size_t i = 0; i < tool->option_count; i++)
    buf_printf(out, "--%s ", tool->options[i].name);
  buf_printf(out, "--help%s' ;;\n", tool == &tool_completion ? " bash" : "");
}

static int run(const struct tool_arguments *arguments) {
  AUTO(buf) struct buf script = BUF_INIT;
  if (strcmp(arguments->words[0], "bash") != 0) {
    tool_complain("there is completion for bash, not for %s", arguments->words[0]);
    return TOOL_USAGE;
  }
  buf_append_str(&script, before);
  buf_append_str(&script, "  1:*) words='");
  cli_append_names(&script);
  buf_append_str(&script, "' ;;\n");
  for (size_t i = 0; i < tool_count; i++)
    append_tool(&script, tools[i]);
  buf_append_str(&script, "  *:help) words='");
  for (size_t i = 0; i < tool_count; i++)
    buf_printf(&script, "%s%s", i > 0 ? " " : "", tools[i]->name);
  buf_append_str(&script, "' ;;\n  *) words='--config --help' ;;\n");
  buf_append_str(&script, after);
  return tool_write(STDOUT_FILENO, buf_slice(&script)) == 0 ? TOOL_OK : TOOL_FAILED;
}

const struct tool tool_completion = {
    .name = "completion",
    .help = "print the script that completes commands and options in a shell",
    .synopsis = "bash",
    .text = text,
    .min_words = 1,
    .max_words = 1,
    .run = run,
};
