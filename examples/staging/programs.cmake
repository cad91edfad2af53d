sonde_example(staging api staging/api.c staging/numbered.c ${common})
sonde_example(staging worker staging/worker.c ${common})
