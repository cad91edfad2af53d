sonde_example(personaworlds api personaworlds/api.c personaworlds/schema.c personaworlds/job_queue.c
  personaworlds/model.c ${common})
sonde_example(personaworlds worker personaworlds/worker.c personaworlds/job_types.c
  personaworlds/observability.c personaworlds/schema.c personaworlds/job_queue.c
  personaworlds/model.c ${common})
