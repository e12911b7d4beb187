"""Side by side with what a user would run instead: ``python -m benchmarks`` in the checkout.

`suite`        what is compared, and the targets
`ours`         what vglib does                } each contender runs in a process of its own (`worker`);
`instead`      what one would do instead      } all are checked against each other before anything is
`by_autograd`  the same, for gradients        } timed
`gauges`       memory, precision and import time, each in a fresh process
`race`         contenders take turns; the median of the rounds' ratios counts
`report`       the table and the file
"""
