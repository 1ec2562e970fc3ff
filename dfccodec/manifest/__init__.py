"""Many files by many processes: a list of files, claims, records. Needs only a shared folder.

A list (`items`) has one file per line and is never written. Beside the outputs is a folder for the state of the list:

    OUT/list.state/run.json          the options, which all processes share
    OUT/list.state/claims/KEY        who is working on a file; exists only while somebody is
    OUT/list.state/records/W.jsonl   what worker W has finished or failed at, one line a file; only W appends to it
    OUT/list.state/work/W/           outputs that W is writing
    OUT/list.results.jsonl           the state of every file in the order of the list, written at the end of a run

A worker claims a file by creating its claim, which only one process can (`claims`). It encodes into its own work
folder, and gives the output its name by a hard link, which fails if there is an output already (`worker`). So a killed
process leaves a claim and unfinished work, never half an output. Two processes that work on one file by mistake, as
after a pause of one of them, make one output.
"""
