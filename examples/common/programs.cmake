sonde_example(common standin common/standin.c common/standin_s3.c common/standin_replicate.c
  common/standin_anthropic.c common/standin_yutori.c common/standin_freepik.c common/config.c
  common/s3.c)
