//! A workflow whose order carries a payment: the payment's machine is the workflow's.

/// Makes `$workflow` a machine over `$order`, whose field `payment` is an
/// [`Instruction`](crate::payment::Instruction). `$provider` names the lanes that it queues in.
macro_rules! pays {
    ($workflow:ty, $kind:literal, $order:ty, $provider:expr) => {
        impl $crate::engine::Machine for $workflow {
            const KIND: &'static str = $kind;
            const VERSION: i64 = 2;
            type Order = $order;
            type State = $crate::payment::Progress;
            type Event = $crate::payment::Event;
            type Step = $crate::payment::Step;
            type Timer = $crate::payment::Timer;

            fn start(order: &Self::Order) -> $crate::engine::Go<Self> {
                $crate::payment::start(&order.payment)
            }

            fn on(
                order: &Self::Order,
                state: &Self::State,
                on: $crate::engine::OnOf<Self>,
                now: $crate::time::At,
            ) -> $crate::engine::NextOf<Self> {
                $crate::payment::on(&order.payment, state, on, now)
            }

            fn view(_: &Self::Order, state: &Self::State) -> $crate::engine::View {
                $crate::payment::view(state)
            }

            fn call(
                order: &Self::Order,
                state: &Self::State,
                step: Self::Step,
            ) -> Option<$crate::ports::Call> {
                $crate::payment::call(&order.payment, state, step)
            }

            fn hear(
                _: &Self::Order,
                state: &Self::State,
                step: Self::Step,
                finding: &$crate::engine::Finding,
            ) -> $crate::engine::Answer<Self::Event> {
                $crate::payment::hear(state, step, finding)
            }

            fn overhear(
                _: &Self::Order,
                state: &Self::State,
                step: Self::Step,
                finding: &$crate::engine::Finding,
            ) -> $crate::engine::Answer<Self::Event> {
                $crate::payment::overhear(state, step, finding)
            }

            fn wanted(_: &Self::Order, state: &Self::State, step: Self::Step) -> bool {
                $crate::payment::wanted(state, step)
            }

            fn lifelines(
                order: &Self::Order,
                state: &Self::State,
            ) -> Vec<$crate::engine::Effect<Self::Step, Self::Timer>> {
                $crate::payment::lifelines(&order.payment, state)
            }

            fn deadlines(
                order: &Self::Order,
                state: &Self::State,
            ) -> Vec<$crate::engine::Effect<Self::Step, Self::Timer>> {
                $crate::payment::deadlines(&order.payment, state)
            }

            fn queue(order: &Self::Order) -> $crate::engine::Lane {
                $crate::payment::queue_lane($provider, &order.payment)
            }

            fn policy(order: &Self::Order, state: &Self::State, step: Self::Step) -> $crate::engine::Policy {
                $crate::payment::policy($provider, &order.payment, state, step)
            }

            fn weighs(order: &Self::Order) -> Option<$crate::engine::Weight> {
                let initiation = &order.payment.initiation;
                let bank = initiation.bank.0.clone();
                Some($crate::engine::Weight { bank, money: initiation.amount })
            }

            fn reference(_: &Self::Order, state: &Self::State) -> Option<String> {
                $crate::payment::reference(state)
            }

            fn upcast(
                version: i64,
                order: serde_json::Value,
                state: serde_json::Value,
            ) -> Option<$crate::engine::Documents> {
                $crate::payment::upcast(version, order, state)
            }
        }
    };
}
pub(crate) use pays;
