sonde_example(framecast api framecast/api.c framecast/cancel.c framecast/create.c framecast/events.c
  framecast/framecast.c framecast/generations.c framecast/lease.c framecast/runner.c framecast/webhook.c
  ${common})
sonde_example(framecast pod framecast/pod.c framecast/framecast.c framecast/nvml.c framecast/report.c
  framecast/workflow.c ${common})
