sonde_example(sixseven backend sixseven/backend.c sixseven/api.c sixseven/orchestrator.c
  sixseven/agent.c sixseven/research.c sixseven/creative.c sixseven/store.c ${common})
# Functions have names in the backtraces of errors.
target_compile_options(example_sixseven_backend PRIVATE -fvisibility=default)
set_target_properties(example_sixseven_backend PROPERTIES ENABLE_EXPORTS ON)
# Not part of the system: the metrics page that tests compare.
sonde_example(sixseven counted sixseven/counted.c)
