set(staging staging/service.c staging/runtime.c ${common})
sonde_example(staging api staging/api.c staging/numbered.c ${staging})
sonde_example(staging worker staging/worker.c ${staging})
