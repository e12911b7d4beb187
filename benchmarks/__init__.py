"""Side by side with what a user would run instead: ``python -m benchmarks`` in the checkout.

`suite`     what is compared, and the targets
`ours`      what vglib does            } each contender runs in a process of its own (`worker`);
`instead`   what one would do instead  } both are checked against each other before anything is timed
`gauges`    memory, precision and import time, each in a fresh process
`race`      contenders take turns; the median of the rounds' ratios counts
`report`    the table and the file
"""
