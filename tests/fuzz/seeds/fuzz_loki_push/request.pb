
¦
{app="shop", level="warn"}B
€âÏªa line ÿ,
trace_id 0102030405060708090a0b0c0d0e0f10B
€âÏªa line ÿ,
trace_id 0102030405060708090a0b0c0d0e0f10	
¦
{app="shop", level="warn"}B
€âÏªa line ÿ,
trace_id 0102030405060708090a0b0c0d0e0f10B
€âÏªa line ÿ,
trace_id 0102030405060708090a0b0c0d0e0f10	